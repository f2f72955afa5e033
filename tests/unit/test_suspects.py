"""Labels that are contradicted, and the way back of the list to ingest."""

import csv
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from components import suspects
from components.errors import UserError
from components.ingest import ingest
from components.io import accounts, reviews
from components.reading.options import Options
from tests.conftest import assert_one_line, run_stages


@pytest.fixture(scope="module")
def flipped(imdb, tmp_path_factory):
    """The stages on 3,000 reviews, of which one in twenty has the wrong label."""
    table = imdb.iloc[::8][:3000].reset_index(drop=True)
    wrong = np.arange(len(table)) % 20 == 7
    mistaken = table.assign(
        label=np.where(wrong, 1 - table["label"], table["label"]).astype("int8")
    )
    return run_stages(mistaken, tmp_path_factory.mktemp("flipped")), set(table["text"][wrong])


def flags(trained, output: str) -> list[object]:
    return [
        *("--matrix", trained.matrix, "--selections", trained.selection),
        *("--train", trained.train, "--valid", trained.valid, "--suspects", output),
    ]


def test_flipped_labels_are_among_the_suspects(stage, flipped, tmp_path):
    trained, wrong = flipped
    result = stage("suspects", *flags(trained, "suspects.csv"))
    assert result.returncode == 0, result.stderr
    with (tmp_path / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    learned = pd.concat([reviews.read(trained.train), reviews.read(trained.valid)])
    assert len(rows) <= round(0.1 * len(learned))
    present = wrong & set(learned["text"])
    recall = len(present & {row["text"] for row in rows}) / len(present)
    assert recall > 0.6
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities)
    assert max(probabilities) < 0.5
    assert all(row["label"] != row["predicted"] for row in rows)
    assert all(len(row["words"].split(" | ")) <= suspects.WORDS for row in rows)
    words = Counter(word for row in rows for word in row["words"].split(" | "))
    assert {"bad", "great"} & words.keys()


def test_the_list_goes_back_to_ingest(stage, flipped, tmp_path):
    trained, _ = flipped
    stage("suspects", *flags(trained, "suspects.csv"), "--share", "0.01")
    listed = pd.read_csv(tmp_path / "suspects.csv")
    source = tmp_path / "source.csv"
    table = reviews.read(trained.reviews)
    table[["text", "label"]].to_csv(source, index=False)
    options = Options(source=str(source), exclude=str(tmp_path / "suspects.csv"))
    (account,) = ingest(options, tmp_path / "r.parquet")
    assert account.dropped["excluded"] >= len(listed) > 10
    assert account.read == len(table) == account.kept + account.dropped["excluded"]
    assert not set(listed["text"]) & set(reviews.read(tmp_path / "r.parquet")["text"])


def test_other_reviews_are_refused(stage, trained, three, tmp_path):
    mixed = [*flags(trained, "s.csv"), "--train", three.train]
    assert_one_line(stage("suspects", *mixed), "not the reviews of --matrix")
    other = [*flags(trained, "s.csv"), "--selections", three.selection]
    assert_one_line(stage("suspects", *other), "--selections: not of these reviews")


def test_three_classes_have_suspects(stage, three, tmp_path):
    result = stage("suspects", *flags(three, "suspects.csv"), "--folds", "3")
    assert result.returncode == 0, result.stderr
    found = pd.read_csv(tmp_path / "suspects.csv")
    assert set(found["label"]) | set(found["predicted"]) <= {"negative", "neutral", "positive"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"text\na\n", "no column 'id'"), (b"id\n\xff\n", "utf-8")],
)
def test_a_wrong_list_is_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,0\n")
    if content is not None:
        (tmp_path / "list.csv").write_bytes(content)
    options = Options(source=str(tmp_path / "a.csv"), exclude=str(tmp_path / "list.csv"))
    with pytest.raises(UserError, match=message):
        ingest(options, tmp_path / "r.parquet")


def test_forgotten_texts_are_dropped_and_counted_apart(tmp_path):
    """Copies in other letters and spaces are the same text; a text on both lists is forgotten."""
    source, listed = tmp_path / "a.csv", tmp_path / "forgotten.csv"
    source.write_text("text,label\nSo good,1\n so  GOOD,1\nVery bad,0\nFine,1\nDull,0\n")
    options = Options(
        source=str(source), forgotten=str(listed), exclude=str(tmp_path / "suspects.csv")
    )
    wrong = [reviews.identity(text) for text in ("so good", "fine")]
    (tmp_path / "suspects.csv").write_text("id\n" + "\n".join(wrong) + "\n")
    (before,) = ingest(options, tmp_path / "before.parquet")
    assert before.dropped == {"excluded": 3}
    told = accounts.content(tmp_path / "before.parquet")
    listed.write_text(f"id,when\n{wrong[0]},2026-11-29\n")
    (after,) = ingest(options, tmp_path / "after.parquet")
    assert after.dropped == {"forgotten": 2, "excluded": 1}
    assert after.read == after.kept + 3
    assert reviews.read(tmp_path / "after.parquet")["text"].tolist() == ["Very bad", "Dull"]
    new = accounts.content(tmp_path / "after.parquet").keys() - told.keys()
    assert new == {"ingest.forgotten"}
