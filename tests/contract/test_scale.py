"""Made reviews grow as the law of their n-grams says, and the stages are measured on them."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import scale
from benchmarks.growth import Reviews, different
from benchmarks.processes import Cost, measure
from components.io import reviews

LEARNED, ALL = 500, 2_500  # reviews


@pytest.fixture(scope="module")
def table(imdb) -> pd.DataFrame:
    return imdb.sample(ALL, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def few(table) -> Reviews:
    return Reviews(table[:LEARNED])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_n_grams_of_made_reviews_grow_as_in_real_ones(table, few, n: int):
    made = scale.joined(few, ALL)
    (base,) = different(few.base.tokens, few.base.lengths, n, [LEARNED])
    (grown,) = different(made.tokens, made.lengths, n, [ALL])
    real = Reviews(table).base
    (wanted,) = different(real.tokens, real.lengths, n, [ALL])
    assert base < wanted / 2  # copies alone would stay here
    assert grown == pytest.approx(wanted, rel=0.15)


def test_first_reviews_are_those_of_the_table(table, few):
    shard = few.shard(LEARNED - 10, 30)
    own = table.iloc[LEARNED - 10 : LEARNED]
    assert shard["text"].tolist()[:10] == own["text"].tolist()
    assert not set(shard["text"][10:]) & set(table["text"])
    assert shard.columns.tolist() == table.columns.tolist()


def test_made_reviews_are_the_same_each_time(few):
    pd.testing.assert_frame_equal(few.shard(10_000, 100), few.shard(10_000, 100))
    assert few.shard(10_000, 100)["text"].tolist() != few.shard(20_000, 100)["text"].tolist()


def test_made_reviews_are_of_the_tokens_of_their_label(few):
    picked, lengths, tokens = few.make(10_000, 200)
    of_label = [
        set(few.base.tokens[np.repeat(few.base.labels == label, few.base.lengths)].tolist())
        for label in (0, 1)
    ]
    labels = np.repeat(few.base.labels[picked], lengths)
    for label in (0, 1):
        mine = tokens[labels == label].tolist()
        assert np.mean([token in of_label[label] for token in mine]) > 0.9


def test_exponents_are_of_the_two_largest_sizes():
    costs = {100: Cost(1, 9, 9, 9, 9), 1_000: Cost(1, 1, 5, 2, 0), 10_000: Cost(9, 10, 5, 200, 0)}
    assert scale.exponents(costs) == pytest.approx([1, 0, 2, 0])


def test_transfers_include_those_of_children(tmp_path):
    (tmp_path / "writer.py").write_text(
        "import subprocess, sys\n"
        "if len(sys.argv) > 1:\n"
        "    open('file', 'wb').write(bytes(20_000_000))\n"
        "else:\n"
        "    subprocess.run([sys.executable, 'writer.py', 'child'], check=True)\n"
    )
    assert measure(tmp_path, "writer").written == pytest.approx(20, abs=0.5)


def test_stages_are_measured(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale, "DATA", tmp_path / "reviews.parquet")
    monkeypatch.setattr(scale, "LEARNED", 200)
    monkeypatch.setattr(scale, "CHECKED", (200, 400))
    reviews.write(scale.DATA, table[:1_000])
    assert scale.main(["--rows", "1500"]) == 0
    printed = capsys.readouterr()
    assert "| 400 | 3 |" in printed.out
    rows = [line.strip("| ").split(" | ") for line in printed.out.splitlines()]
    measured = {row[1]: [float(value) for value in row[2:]] for row in rows if row[0] == "1,500"}
    stages = ["ingest", "validate", "prepare", "count", "merge", "trial", "select", "train"]
    assert list(measured) == [*stages, "evaluate", "all"]
    for name in stages:
        cpu_seconds, _, megabytes, read, _ = measured[name]
        assert cpu_seconds > 0
        assert megabytes > 0
        assert read > 0
    assert measured["count"][4] > measured["select"][4]
    assert "1500 of 1500 reviews made" in printed.err


@pytest.mark.parametrize(("given", "message"), [("10", "at least 1000"), ("many", "invalid")])
def test_numbers_of_rows_are_checked(given, message, capsys):
    with pytest.raises(SystemExit) as error:
        scale.main(["--rows", given])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
