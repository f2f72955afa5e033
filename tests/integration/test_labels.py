"""Labels of captured predictions: queue, join, decide and the next training, with real MLflow."""

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components import evaluate, gate, ingest, prepare, promote, register
from components.errors import UserError
from components.io import accounts, records, registry, reviews
from components.io.files import read_json
from components.io.models import load_model
from components.join import Joined
from components.labelling import live, table
from components.reading.options import Options
from components.verdict import GateLimits
from pipelines.local import s3_client, s3_server
from sentiment.model import class_names, probabilities
from tests.conftest import assert_one_line

QUEUE = ["--captured", "captured", "--queues", "queues", "--drawn", "drawn.json"]
JOIN = ["--captured", "captured", "--queues", "queues", "--labelled", "labelled.parquet"]
JOIN += ["--joined", "joined.json", "--report", "labels.md"]


@pytest.fixture
def sentences(tmp_path) -> pd.DataFrame:
    ingest.ingest(Options("builtin:rotten_tomatoes"), tmp_path / "sentences.parquet")
    return reviews.read(tmp_path / "sentences.parquet").sample(600, random_state=0)


@pytest.fixture
def captured(trained, sentences, tmp_path) -> dict[tuple[str, int], str]:
    """Write the predictions of the model as the predictor captures them; return the true labels."""
    return write_captured(trained.model, sentences, tmp_path / "captured", "2026-01-01")


def write_captured(
    model_directory: Path, texts: pd.DataFrame, folder: Path, day: str
) -> dict[tuple[str, int], str]:
    model = load_model(model_directory)
    names, lines, truth = class_names(model), [], {}
    p = probabilities(model, texts["text"].tolist())
    for number, (text, label, row) in enumerate(zip(texts["text"], texts["label"], p, strict=True)):
        request_id, index = f"{day}.{number // 2}", number % 2
        truth[request_id, index] = names[label]
        data = {
            "request_id": request_id,
            "index": index,
            "sample": 1.0,
            "text": text,
            "label": names[row.argmax()],
            "probabilities": dict(zip(names, row.tolist(), strict=True)),
        }
        event = {
            "specversion": "1.0",
            "id": f"{day}-{number}",
            "source": "/models/sentiment/versions/1",
            "type": "sentiment.prediction",
            "time": f"{day}T00:{number // 60 % 60:02}:{number % 60:02}+00:00",
            "data": data,
        }
        lines.append(json.dumps(event))
    (folder / day).mkdir(parents=True)
    (folder / day / "a.jsonl").write_text("\n".join(lines))
    return truth


def answer(folder: Path, truth: dict[tuple[str, int], str], rows: int | None = None) -> None:
    """Fill in items.csv as a person does, all of it or its first rows."""
    with (folder / "items.csv").open(newline="") as file:
        items = [*csv.DictReader(file)]
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, items[0].keys())
        writer.writeheader()
        for number, item in enumerate(items):
            if rows is None or number < rows:
                item["label"] = truth[item["request_id"], int(item["index"])]
            writer.writerow(item)


def only_queue(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_labels_of_a_queue_give_the_live_accuracy(stage, champion, captured, tmp_path):
    assert stage("queue", *QUEUE).returncode == 0
    folder = only_queue(tmp_path / "queues")
    assert folder.name == "20260101T000959"  # the newest prediction
    assert {each.name for each in folder.iterdir()} == {
        *("items.csv", "items.jsonl", "label-studio.json", "label-studio.xml", "queue.json")
    }
    assert read_json(tmp_path / "drawn.json")["items"] == 200
    queue = read_json(folder / "queue.json")
    assert len({(each["request_id"], each["index"]) for each in queue["items"]}) == 200
    assert {each["kind"] for each in queue["strata"]} == {"uncertain", "drifted"}  # all are short
    answer(folder, captured)
    result = stage("join", *JOIN, "--min-accuracy", "0.85")
    assert result.returncode == 0, result.stderr
    found = records.read(tmp_path / "joined.json", Joined)
    assert found.labels == 200
    (estimate,) = found.live
    right = [
        json.loads(line)["data"]
        for line in (tmp_path / "captured/2026-01-01/a.jsonl").read_text().splitlines()
    ]
    truth = sum(captured[each["request_id"], each["index"]] == each["label"] for each in right)
    assert estimate.accuracy.low <= truth / 600 <= estimate.accuracy.high
    assert estimate.accuracy.high < 0.85  # sentences are not what it was trained on
    assert found.below
    with registry.connected() as client:
        assert live.read(client, "sentiment") == [estimate]
    assert f"{estimate.accuracy.value:.4f}" in (tmp_path / "labels.md").read_text()


def test_text_of_a_caller_is_no_formula_in_a_spreadsheet(stage, champion, trained, tmp_path):
    texts = ['=HYPERLINK("http://x";"fine")', "+1 fine", "-1 bad", "@SUM(1)", "\tfine", "= 'bad'"]
    table = pd.DataFrame({"text": texts, "label": [1, 1, 0, 1, 1, 0]})
    truth = write_captured(trained.model, table, tmp_path / "captured", "2026-01-01")
    assert stage("queue", *QUEUE).returncode == 0
    folder = only_queue(tmp_path / "queues")
    with (folder / "items.csv").open(newline="") as file:
        assert {row["text"][0] for row in csv.DictReader(file)} == {"'"}
    answer(folder, truth)
    assert stage("join", *JOIN).returncode == 0
    rows = pq.read_table(tmp_path / "labelled.parquet").to_pylist()
    assert {row["text"] for row in rows} == set(texts)


def test_labels_in_the_list_itself_are_read_and_stay(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE, "--size", "20")
    folder = only_queue(tmp_path / "queues")
    answer(folder, captured, rows=5)
    (folder / "labels.csv").rename(folder / "items.csv")
    filled = (folder / "items.csv").read_bytes()
    assert stage("join", *JOIN).returncode == 0
    assert records.read(tmp_path / "joined.json", Joined).labels == 5
    stage("queue", *QUEUE, "--size", "20")
    assert (folder / "items.csv").read_bytes() == filled
    (folder / "items.csv").rename(folder / "Labels.CSV")
    (folder / "labels.csv~").write_text("a backup of an editor")
    assert stage("join", *JOIN).returncode == 0
    found = records.read(tmp_path / "joined.json", Joined)
    assert found.labels == 5
    assert found.counts == {"labelled": 5, "skipped": 15}


def test_joining_again_changes_nothing(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    answer(only_queue(tmp_path / "queues"), captured)
    assert stage("join", *JOIN).returncode == 0
    written = (tmp_path / "labelled.parquet").stat().st_mtime_ns
    assert stage("join", *JOIN).returncode == 0
    assert (tmp_path / "labelled.parquet").stat().st_mtime_ns == written
    with registry.connected() as client:
        runs = client.search_runs([registry.experiment_id(client, "sentiment-live")])
        assert len(runs) == 1


def test_queue_without_labels_is_superseded(stage, champion, captured, trained, tmp_path):
    stage("queue", *QUEUE)
    sentences = reviews.read(trained.test)[:300]
    captured |= write_captured(trained.model, sentences, tmp_path / "captured", "2026-01-02")
    stage("queue", *QUEUE)
    first, second = sorted((tmp_path / "queues").iterdir())
    assert read_json(second / "queue.json")["since"][:10] == "2026-01-01"
    answer(first, captured)
    before = (second / "queue.json").read_bytes()
    result = stage("queue", *QUEUE)
    assert f"queues/{second.name}: drawn before, and waits for labels" in result.stderr
    assert (second / "queue.json").read_bytes() == before
    assert read_json(tmp_path / "drawn.json")["queue"] == second.name
    answer(second, captured)
    result = stage("queue", *QUEUE)
    assert "no prediction was captured in captured since 2026-01-02" in result.stderr
    assert read_json(tmp_path / "drawn.json")["queue"] == ""


def test_list_that_is_filled_in_place_is_kept_and_read(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    folder = only_queue(tmp_path / "queues")
    answer(folder, captured, rows=60)
    (folder / "labels.csv").rename(folder / "items.csv")
    filled = (folder / "items.csv").read_bytes()
    stage("queue", *QUEUE)
    assert (folder / "items.csv").read_bytes() == filled
    assert stage("join", *JOIN).returncode == 0
    assert records.read(tmp_path / "joined.json", Joined).labels == 60
    (folder / "items.csv").rename(folder / "label.csv")
    result = stage("join", *JOIN)
    assert "label.csv: not read; names of files with labels begin with 'labels'" in result.stderr


def test_class_is_read_in_any_case(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    folder = only_queue(tmp_path / "queues")
    answer(folder, captured)
    table = pd.read_csv(folder / "labels.csv")
    table.assign(label=table["label"].str.title()).to_csv(folder / "labels.csv", index=False)
    assert stage("join", *JOIN).returncode == 0
    rows = pq.read_table(tmp_path / "labelled.parquet").to_pylist()
    assert {row["label"] for row in rows} == {"negative", "positive"}


def test_capture_without_predictions_is_named(stage, champion, tmp_path):
    result = stage("queue", *QUEUE)
    assert result.returncode == 0
    assert "no queue: no prediction was captured in captured" in result.stderr


def test_unfinished_queue_gives_an_estimate(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    answer(only_queue(tmp_path / "queues"), captured, rows=60)
    assert stage("join", *JOIN).returncode == 0
    found = records.read(tmp_path / "joined.json", Joined)
    assert found.labels == 60
    assert found.counts == {"labelled": 60, "skipped": 140}
    assert found.live[0].accuracy.high - found.live[0].accuracy.low > 0.1


def test_feedback_is_apart(stage, champion, captured, tmp_path):
    folder = tmp_path / "captured/feedback/2026-01-01"
    folder.mkdir(parents=True)
    given = [
        *(("2026-01-01.0", 0, "positive"), ("2026-01-01.0", 1, "positive")),
        ("unknown", 0, "positive"),
    ]
    lines = [
        json.dumps(
            {
                "type": "sentiment.feedback",
                "source": "/models/sentiment",
                "time": "2026-01-01T01:00:00+00:00",
                "data": {"request_id": request_id, "index": index, "label": label, "by": "page"},
            }
        )
        for request_id, index, label in given
    ]
    (folder / "f.jsonl").write_text("\n".join(lines))
    assert stage("join", *JOIN).returncode == 0
    found = records.read(tmp_path / "joined.json", Joined)
    assert found.labels == 0
    assert found.live == []
    assert found.feedback[0].labels == 2
    assert found.counts == {"feedback not captured": 1}
    assert not (tmp_path / "labelled.parquet").exists()
    assert stage("join", *JOIN, "--learn-from-feedback", "true").returncode == 0
    rows = pq.read_table(tmp_path / "labelled.parquet").to_pylist()
    assert {row["channel"] for row in rows} == {"feedback"}
    assert len(rows) == 2


def test_labels_of_another_queue_or_class_are_refused(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    folder = only_queue(tmp_path / "queues")
    item = read_json(folder / "queue.json")["items"][0]
    labels = folder / "labels.csv"
    labels.write_text("request_id,index,label\nnone,0,positive\n")
    assert_one_line(stage("join", *JOIN), "labels.csv: no label is of the queue", "none, index 0")
    labels.write_text(f"request_id,index,label\n{item['request_id']},{item['index']},good\n")
    where = f"{item['request_id']}, index {item['index']}"
    assert_one_line(stage("join", *JOIN), f"labels.csv: 'good', for {where}: no class of the model")


def test_join_without_queues_leaves_the_labelled_predictions(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    answer(only_queue(tmp_path / "queues"), captured)
    assert stage("join", *JOIN).returncode == 0
    written = (tmp_path / "labelled.parquet").read_bytes()
    without = JOIN[:2] + JOIN[4:]
    result = stage("join", *without)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "labelled.parquet").read_bytes() == written
    wrong = stage("join", *without, "--queues", "queue")
    assert_one_line(wrong, "queue: no queue of this model", "labelled.parquet")
    assert (tmp_path / "labelled.parquet").read_bytes() == written
    (only_queue(tmp_path / "queues") / "labels.csv").unlink()
    assert stage("join", *JOIN).returncode == 0
    assert pq.read_table(tmp_path / "labelled.parquet").num_rows == 0  # all were taken back


@pytest.mark.parametrize("address", ["labelled.parquet", "new/.labelled.parquet", "/{}/l.parquet"])
def test_path_of_the_labelled_predictions(address, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    address = address.format(str(tmp_path).strip("/"))
    label = {"text": "fine", "label": "positive", "request_id": "r", "index": 0}
    rows = {("r", 0): label | {"version": "1", "channel": "queue", "by": None}}
    table.write(address, {})
    assert not Path(address).exists()
    table.write(address, rows)
    written = Path(address).stat().st_mtime_ns
    table.write(address, rows)
    assert Path(address).stat().st_mtime_ns == written
    table.write(address, {})
    assert pq.read_table(address).num_rows == 0


def test_path_of_the_labelled_predictions_must_name_a_file():
    with pytest.raises(UserError, match=r"--labelled new/: not a file"):
        table.write("new/", {})


def test_damaged_capture_is_named(stage, champion, captured, tmp_path):
    file = tmp_path / "captured/2026-01-01/a.jsonl"
    file.write_text(file.read_text() + '\n{"type": "sentiment.prediction"')
    assert_one_line(stage("queue", *QUEUE), "captured/2026-01-01/a.jsonl, line 601: not JSON")


def register_copy(tags: dict[str, str]) -> None:
    """Register a version with these tags; its files are those of version 1."""
    with registry.connected() as client:
        first = client.get_model_version("sentiment", "1")
        client.create_model_version("sentiment", first.source, tags=tags)


def test_decision_needs_a_reason_and_news(stage, champion, captured, tmp_path):
    stage("queue", *QUEUE)
    answer(only_queue(tmp_path / "queues"), captured)
    stage("join", *JOIN, "--min-accuracy", "0.85")
    (tmp_path / "own.csv").write_text("text,label\ngood,positive\nbad,negative\n")
    drift = {"name": "sentiment", "version": "1", "rows": 9, "why": "nothing is above a limit"}
    drift |= {"stability": {}, "means": {}}

    def decide(drifted: bool, *flags: str) -> dict:
        (tmp_path / "drift.json").write_text(json.dumps(drift | {"drifted": drifted}))
        flags = ("--source", "own.csv", "--labelled", "labelled.parquet", *flags)
        files = ["--drift", "drift.json", "--joined", "joined.json", "--training", "training.json"]
        result = stage("decide", *files, *flags)
        assert result.returncode == 0, result.stderr
        return read_json(tmp_path / "training.json")

    assert decide(drifted=False)["train"] is True  # the accuracy is below the floor
    content = stage(
        "source", "--source", "own.csv", "--labelled", "labelled.parquet", "--content", "c"
    )
    assert content.returncode == 0, content.stderr
    digest = accounts.digest(read_json(tmp_path / "c"))
    with registry.connected() as client:
        client.set_model_version_tag("sentiment", "1", registry.SOURCES_TAG, digest)
    found = decide(drifted=True)
    assert found["train"] is False
    assert found["why"].startswith("nothing new to learn from: version 1 has learned from these")
    register_copy({registry.SOURCES_TAG: "of other sources"})
    assert decide(drifted=True)["train"] is False  # version 1 is not the newest any more
    (tmp_path / "own.csv").write_text("text,label\ngood,positive\nbad,negative\nfine,positive\n")
    assert decide(drifted=True)["train"] is True
    stage("join", *JOIN)  # without a floor
    assert decide(drifted=False)["train"] is False


def test_test_set_stays_as_labels_come_in(stage, champion, captured, trained, tmp_path):
    stage("queue", *QUEUE, "--size", "500")
    answer(only_queue(tmp_path / "queues"), captured)
    stage("join", *JOIN)
    known = reviews.read(trained.reviews)
    known.assign(label=known["label"].map({0: "negative", 1: "positive"})).to_parquet(
        tmp_path / "own.parquet"
    )
    options = {"source": str(tmp_path / "own.parquet")}
    digests = []
    for name, labelled in (("before", ""), ("after", str(tmp_path / "labelled.parquet"))):
        table, outputs = tmp_path / f"{name}.parquet", tmp_path / name
        ingest.ingest(Options(**options, labelled=labelled), table)
        splits = {each: outputs / each for each in prepare.SPLITS}
        rows = prepare.prepare(table, splits, 0.1, 0.2, shard_rows=300)
        digests.append(reviews.digest(reviews.labelled(outputs / "test")))
        train = reviews.read(outputs / "train")
        assert (reviews.LABELLED in set(train["source"])) is (name == "after")
    assert digests[0] == digests[1]
    assert rows["test"] == sum(map(reviews.rows, reviews.shards(tmp_path / "before/test")))
    fresh = reviews.freshly_labelled(tmp_path / "after/test")
    assert fresh is not None
    assert reviews.freshly_labelled(tmp_path / "before/test") is None
    table = reviews.read(fresh)
    assert 60 < len(table) < 140  # a fifth of 500
    assert not set(table["text"]) & set(train["text"])
    metrics = evaluate.freshly_labelled(trained.model, tmp_path / "after/test")
    assert metrics["labelled_rows"] == len(table)
    assert 0.5 < metrics["labelled_accuracy"] < 0.9


def test_label_contradicting_a_test_review_does_not_remove_it(tmp_path):
    texts = [f"review {number} is {word}" for number in range(300) for word in ("good", "bad")]
    own = pd.DataFrame({"text": texts, "label": ["positive", "negative"] * 300})
    own.to_parquet(tmp_path / "own.parquet")
    labelled = own.assign(label=own["label"].map({"positive": "negative", "negative": "positive"}))
    labelled.to_parquet(tmp_path / "labelled.parquet")
    options = Options(str(tmp_path / "own.parquet"), labelled=str(tmp_path / "labelled.parquet"))
    ingest.ingest(options, tmp_path / "all.parquet")
    splits = {each: tmp_path / each for each in prepare.SPLITS}
    with pytest.raises(Exception, match="the train split has 0 reviews"):
        prepare.prepare(tmp_path / "all.parquet", splits, 0.1, 0.2)
    contradicting = labelled[:100]
    contradicting.to_parquet(tmp_path / "labelled.parquet")
    ingest.ingest(options, tmp_path / "all.parquet")
    prepare.prepare(tmp_path / "all.parquet", splits, 0.1, 0.2)
    ingest.ingest(Options(str(tmp_path / "own.parquet")), tmp_path / "own-alone.parquet")
    alone = {each: tmp_path / f"alone-{each}" for each in prepare.SPLITS}
    prepare.prepare(tmp_path / "own-alone.parquet", alone, 0.1, 0.2)
    tests = [reviews.digest(reviews.labelled(each["test"])) for each in (splits, alone)]
    assert tests[0] == tests[1]


@pytest.mark.parametrize("same", [True, False])
def test_label_does_not_remove_a_test_review_of_a_group(tmp_path, same):
    texts = [f"review {number} is {word}" for number in range(300) for word in ("good", "bad")]
    own = pd.DataFrame({"text": texts, "label": ["positive", "negative"] * 300})
    own["film"] = [f"film {number // 10}" for number in range(600)]
    own.to_parquet(tmp_path / "own.parquet")
    others = {"positive": "negative", "negative": "positive"}
    labelled = own if same else own.assign(label=own["label"].map(others))
    labelled[["text", "label"]][:200].to_parquet(tmp_path / "labelled.parquet")
    digests = []
    for name in ("", str(tmp_path / "labelled.parquet")):
        options = Options(str(tmp_path / "own.parquet"), group_column="film", labelled=name)
        ingest.ingest(options, tmp_path / "all.parquet")
        splits = {each: tmp_path / each for each in prepare.SPLITS}
        prepare.prepare(tmp_path / "all.parquet", splits, 0.1, 0.2)
        digests.append(reviews.digest(reviews.labelled(splits["test"])))
    assert digests[0] == digests[1]


def test_gate_reports_the_accuracy_on_labelled_predictions(
    trained, trained_worse, own_registry, tmp_path
):
    test = [reviews.read(trained.test)]
    digest, fresh = reviews.digest(test), [test[0][:50]]
    for model in (trained_worse, trained):
        metrics, findings = read_json(model.metrics), read_json(model.findings)
        made, _ = register.register(
            model.model, metrics, findings, model.plots, digest, "sentiment"
        )
        verdict = gate.gate(made, test, GateLimits(min_accuracy=0.5), fresh=fresh)
        promote.promote(verdict)
    assert verdict.passed
    assert verdict.figures["labelled_rows"] == 50
    assert "on 50 labelled predictions accuracy" in verdict.why


def test_labelled_classes_are_not_taken_for_stars(tmp_path):
    own = pd.DataFrame({"text": [f"text {n}" for n in range(30)], "label": ["1", "2", "3"] * 10})
    own.to_csv(tmp_path / "own.csv", index=False)
    pd.DataFrame({"text": ["new"], "label": ["1"]}).to_parquet(tmp_path / "labelled.parquet")
    options = Options(
        str(tmp_path / "own.csv"),
        labels={"1": [1], "2": [2], "3": [3]},
        labelled=str(tmp_path / "labelled.parquet"),
    )
    ingest.ingest(options, tmp_path / "out.parquet")
    table = reviews.read(tmp_path / "out.parquet")
    assert reviews.classes(tmp_path / "out.parquet") == ("1", "2", "3")
    assert table[table["text"] == "new"]["label"].tolist() == [0]


def test_labels_of_a_class_that_no_source_has_are_dropped(tmp_path):
    own = pd.DataFrame({"text": ["a", "b", "c"], "label": ["positive", "mixed", "positive"]})
    own.to_csv(tmp_path / "own.csv", index=False)
    labels = {"positive": ["positive"], "mixed": ["mixed"]}
    path = tmp_path / "labelled.parquet"
    options = Options(str(tmp_path / "own.csv"), labels=labels, labelled=str(path))
    for given, rows in ((["positive"], 4), (["positive", "old class", "drop"], 4), (["old"], 3)):
        pd.DataFrame({"text": [f"new {each}" for each in given], "label": given}).to_parquet(path)
        account = ingest.ingest(options, tmp_path / "out.parquet")
        assert reviews.classes(tmp_path / "out.parquet") == ("positive", "mixed")
        assert reviews.rows(tmp_path / "out.parquet") == rows
        assert sum(account[-1].dropped.values()) == len(given) + 3 - rows


def test_source_may_not_have_the_name_of_labelled_predictions(tmp_path):
    path = tmp_path / f"{reviews.LABELLED}.csv"
    path.write_text("text,label\ngood,positive\nbad,negative\n")
    with pytest.raises(Exception, match="labelled predictions have the name"):
        ingest.ingest(Options(str(path)), tmp_path / "out.parquet")


def test_all_of_it_on_s3(stage, champion, captured, tmp_path):
    with s3_server(tmp_path / "s3") as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket="data")
        content = (tmp_path / "captured/2026-01-01/a.jsonl").read_bytes()
        client.put_object(Bucket="data", Key="captured/m/2026-01-01/a.jsonl", Body=content)
        addresses = ["--captured", "s3://data/captured/m/", "--queues", "s3://data/queues/"]
        result = stage("queue", *addresses, "--drawn", "drawn.json", **environment)
        assert result.returncode == 0, result.stderr
        name = read_json(tmp_path / "drawn.json")["queue"]
        key = f"queues/{name}/items.csv"
        folder = tmp_path / "downloaded"
        folder.mkdir()
        client.download_file("data", key, str(folder / "items.csv"))
        answer(folder, captured)
        client.upload_file(str(folder / "labels.csv"), "data", f"queues/{name}/labels.csv")
        flags = ["--labelled", "s3://data/labelled.parquet", "--joined", "joined.json"]
        flags += ["--report", "labels.md"]
        result = stage("join", *addresses, *flags, **environment)
        assert result.returncode == 0, result.stderr
        assert records.read(tmp_path / "joined.json", Joined).labels == 200
        tag = client.head_object(Bucket="data", Key="labelled.parquet")["LastModified"]
        assert stage("join", *addresses, *flags, **environment).returncode == 0
        assert client.head_object(Bucket="data", Key="labelled.parquet")["LastModified"] == tag
        (tmp_path / "own.csv").write_text("text,label\ngood,positive\nbad,negative\n")
        read = ["--source", "own.csv", "--labelled", "s3://data/labelled.parquet"]
        result = stage("ingest", *read, "--output", "out.parquet", **environment)
        assert result.returncode == 0, result.stderr
        assert reviews.rows(tmp_path / "out.parquet") == 202
        read[-1] = "s3://data/absent.parquet"
        assert stage("ingest", *read, "--output", "out.parquet", **environment).returncode == 0
        assert reviews.rows(tmp_path / "out.parquet") == 2
