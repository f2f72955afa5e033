"""Which objects of DVC's cache hold a text or come from it, as real runs of DVC leave them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.errors import UserError
from components.forgetting import cache, certificate, lineage, process
from components.forgetting.removal import Left
from components.forgetting.wanted import Wanted
from components.io.reviews import identity
from components.reading.options import Options

TEXT, OTHERS = "Dreadful", ["A fine film", "A dull film", "A film"]
STAGES = {
    "ingest": ("mine.txt", ["data/reviews.parquet"]),
    "prepare": ("data/reviews.parquet", ["data/train", "data/test"]),
    "matrix": ("data/train", ["data/matrix"]),
    "select": ("data/matrix", ["models/selection.json"]),
    "train": ("data/matrix models/selection.json", ["models/sentiment"]),
}
# the test split has the first text alone; the result of select is the same for all data
PROGRAM = """
import json, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
stage = sys.argv[1]
for folder in ("data/train", "data/test", "data/matrix"):
    Path(folder).mkdir(parents=True, exist_ok=True)
def write(path, texts):
    pq.write_table(pa.table({"text": texts}), path)
if stage == "ingest":
    write("data/reviews.parquet", Path("mine.txt").read_text().splitlines())
texts = pq.read_table("data/reviews.parquet")["text"].to_pylist()
if stage == "prepare":
    write("data/test/0.parquet", texts[:1])
    write("data/train/0.parquet", texts[1:2])
    write("data/train/1.parquet", texts[2:])
if stage == "matrix":
    digest = {"data_digest": "digest of " + " ".join(texts[1:])}
    Path("data/matrix/matrix.json").write_text(json.dumps(digest))
if stage == "select":
    Path("models").mkdir(exist_ok=True)
    Path("models/selection.json").write_text("[1]")
if stage == "train":
    Path("models/sentiment").write_text("model of " + " ".join(texts[1:]))
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def repro(*texts: str) -> dict[str, str]:
    """Run the stages on texts; return the MD5 sums of the outputs by path."""
    Path("mine.txt").write_text("".join(f"{text}\n" for text in texts))
    run(sys.executable, "-m", "dvc", "repro", "--quiet")
    lock = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}


def commit() -> None:
    run("git", "add", ".")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x")


def cached() -> set[str]:
    return {each.parent.name + each.name for each in Path(".dvc/cache/files/md5").glob("*/*")}


@pytest.fixture
def wanted() -> Wanted:
    found = Wanted()
    found.add_text("--text-file a.txt", TEXT)
    return found


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    (tmp_path / "stage.py").write_text(PROGRAM)
    stages = {
        name: {"cmd": f"{sys.executable} stage.py {name}", "deps": deps.split(), "outs": outs}
        for name, (deps, outs) in STAGES.items()
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return tmp_path


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_text_left_is_removed_and_nothing_else(project, wanted, committed):
    clean = repro(*OTHERS)
    commit()
    held = repro(*OTHERS, TEXT)
    assert held["models/selection.json"] == clean["models/selection.json"]
    if committed:
        commit()
        shutil.rmtree(".dvc/cache/runs")
    else:
        run("git", "checkout", "-q", "dvc.lock")
    before, now = cached(), repro(*OTHERS[:2])
    with cache.opened() as opened:
        found = opened.find(wanted, keep_present=True)
        assert {*opened.remove(found)}
        again = opened.find(wanted, keep_present=True)
    gone = {held[path] for path in held if held[path] not in {*clean.values(), *now.values()}}
    assert "data/test" not in {path for path in held if held[path] in gone}
    shards = found.holding - {held["data/reviews.parquet"], held["data/train"]}
    assert len(shards) == 1
    matrix = before - cached() - gone - shards
    assert len(matrix) == 1
    assert found.holding | found.derived == gone | shards | matrix
    assert found.data_digests == {f"digest of {' '.join([*OTHERS[1:], TEXT])}"}
    assert f"digest of {' '.join(OTHERS[1:])}" in found.clean
    assert {*clean.values(), *now.values()} <= cached()
    assert not again.holding | again.derived | again.strays
    run("git", "checkout", "-q", "HEAD~1" if committed else "HEAD", "--", "dvc.lock")
    run(sys.executable, "-m", "dvc", "checkout", "--quiet")
    assert Path("models/sentiment").read_text() == f"model of {' '.join(OTHERS[1:])}"


def test_an_interrupted_removal_goes_on(project, wanted):
    held = repro(*OTHERS, TEXT)
    repro(*OTHERS)
    with cache.opened() as opened:
        first = opened.find(wanted, keep_present=True)
        total = len(first.holding | first.derived)
        for number in range(total):
            removing = opened.remove(opened.find(wanted, keep_present=True))
            next(removing)
            removing.close()
            left = opened.find(wanted, keep_present=True)
            assert len(left.holding | left.derived) == total - number - 1
    assert not {held["data/reviews.parquet"], held["data/matrix"]} & cached()


def test_files_of_dvc_add_are_left_and_named(project, wanted):
    held = repro(*OTHERS, TEXT)
    shutil.copy("data/reviews.parquet", "added.parquet")
    table = Path("data/train/1.parquet")
    shutil.copy(table, "mine.parquet")
    run(sys.executable, "-m", "dvc", "add", "--quiet", "mine.parquet")
    repro(*OTHERS)
    shutil.rmtree(".dvc/cache/runs")  # so that no record has the run
    Path("dvc.lock").unlink()
    with cache.opened() as opened:
        found = opened.find(wanted, keep_present=True)
        places = [left.place for left in opened.left(found)]
    assert not found.holding | found.derived
    assert held["data/reviews.parquet"] in found.strays
    assert f"DVC's cache: {held['data/reviews.parquet']}" in places


def test_added_files_that_are_no_tables_are_told(project, wanted):
    Path("mine.csv").write_text(f"text\n{TEXT}\n")
    run(sys.executable, "-m", "dvc", "add", "--quiet", "mine.csv")
    repro(*OTHERS)
    with cache.opened() as opened:
        found = opened.find(wanted, keep_present=True)
        (left,) = opened.left(found)
    assert left.why.startswith("1 objects are of no recorded run")


def test_a_run_that_was_never_recorded_but_in_the_lock_is_known(project, wanted):
    """DVC's cache of runs leaves out a stage whose outputs persist."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text())
    stages["stages"]["train"]["outs"] = [{"models/sentiment": {"persist": True}}]
    Path("dvc.yaml").write_text(yaml.safe_dump(stages))
    held = repro(*OTHERS, TEXT)
    earlier = lineage.present()
    repro(*OTHERS)
    with cache.opened() as opened:
        assert held["models/sentiment"] not in opened.find(wanted, keep_present=True).derived
        found = opened.find(wanted, keep_present=True, earlier=earlier)
    assert held["models/sentiment"] in found.derived


def test_a_remote_without_credentials_is_told(project, wanted, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    run(sys.executable, "-m", "dvc", "remote", "add", "-q", "broken", "s3://bucket/x")
    with cache.opened() as opened:
        (left,) = opened.remove_from("broken", {"0" * 32})
    assert left.why.startswith("not cleaned")


def test_what_comes_from_reviews_that_are_gone_is_not_known(project, wanted):
    held = repro(*OTHERS, TEXT)
    repro(*OTHERS)
    md5 = held["data/reviews.parquet"]
    Path(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").unlink()
    with cache.opened() as opened:
        opened.remove(opened.find(wanted, keep_present=True))
        found = opened.find(Wanted(identities={identity("another")}), keep_present=True)
        (left,) = opened.left(found)
    assert held["models/sentiment"] in found.unknown
    assert "come from reviews that are not in the cache" in left.why


def test_remotes_lose_the_same_objects(project, wanted, tmp_path_factory):
    remote = tmp_path_factory.mktemp("remote")
    run(sys.executable, "-m", "dvc", "remote", "add", "-q", "there", str(remote))
    run(sys.executable, "-m", "dvc", "remote", "add", "-q", "broken", "s3://bucket/x")
    held = repro(*OTHERS, TEXT)
    run(sys.executable, "-m", "dvc", "push", "-q", "-r", "there")
    now = repro(*OTHERS)
    run(sys.executable, "-m", "dvc", "push", "-q", "-r", "there")
    with cache.opened() as opened:
        found = opened.find(wanted, keep_present=True)
        assert opened.remotes() == ["broken", "there"]
        md5s = found.holding | found.derived | {now["models/sentiment"]}
        done = [*opened.remove_from("there", md5s)]
    stored = {each.parent.name + each.name for each in remote.glob("files/md5/*/*")}
    assert {*now.values()} <= stored
    assert not (found.holding | found.derived) & stored
    assert held["models/sentiment"] not in stored
    assert isinstance(done[-1], Left)
    assert len(done) == len(found.holding | found.derived) + 1


def test_remotes_lose_what_an_interrupted_run_removed_here(project, monkeypatch, tmp_path_factory):
    """Killed before its certificate is complete; a later run finds nothing in the cache."""
    remote = tmp_path_factory.mktemp("remote")
    run(sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "there", str(remote))
    held = repro(*OTHERS, TEXT)
    run(sys.executable, "-m", "dvc", "push", "-q")
    Path("source.csv").write_text(f"text,label\n{OTHERS[0]},0\n{OTHERS[1]},1\n")
    Path("mine.txt").write_text("".join(f"{text}\n" for text in OTHERS))
    monkeypatch.setattr(process, "REPRO", [sys.executable, "-m", "dvc", "repro", "--quiet"])
    monkeypatch.setattr(certificate, "is_fitted_without", lambda *_: True)  # of the real matrices
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    options = Options(source="source.csv", forgotten="forgotten.csv")

    def forget(remotes: bool) -> Path:
        wanted = Wanted()
        wanted.add_text("--text-file a.txt", TEXT)
        forgetting = process.Forgetting(wanted, options, process.Places([], []), "sentiment")
        forgetting.search()
        return forgetting.run(train=True, remotes=remotes)

    def removed_and_killed(opened: cache.Cache, found: cache.Found) -> None:
        assert {*remove(opened, found)}
        raise KeyboardInterrupt

    remove = cache.Cache.remove
    with monkeypatch.context() as patched:
        patched.setattr(cache.Cache, "remove", removed_and_killed)
        with pytest.raises(KeyboardInterrupt):
            forget(remotes=False)
    stored = {each.parent.name + each.name for each in remote.glob("files/md5/*/*")}
    assert held["data/reviews.parquet"] in stored - cached()
    forget(remotes=True)
    stored = {each.parent.name + each.name for each in remote.glob("files/md5/*/*")}
    assert not {held["data/reviews.parquet"], held["models/sentiment"]} & stored


def test_a_folder_without_dvc_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not inside of a DVC repository"), cache.opened():
        pass
