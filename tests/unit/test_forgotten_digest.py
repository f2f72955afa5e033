"""The model without a forgotten text is, bit by bit, that of reviews that never had the text."""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from components import count, merge, prepare, select, train, trial
from components.ingest import ingest
from components.io import candidates, matrices, records, reviews
from components.io.models import load_facts
from components.reading.options import Options

ROWS, SHARD_ROWS = 403, 47  # without one or two rows, train has six shards in place of seven
TEXTS = 20


@dataclass(frozen=True)
class Result:
    model: str
    data: str
    features: int
    shards: int


def run(options: Options, folder: Path) -> Result:
    """Run the stages from ingest to train."""
    folder.mkdir()
    ingest(options, folder / "reviews.parquet")
    splits = {name: folder / name for name in prepare.SPLITS}
    prepare.prepare(folder / "reviews.parquet", splits, 0.1, 0.2, SHARD_ROWS)
    count.count(splits["train"], splits["valid"], 2, folder / "counts")
    merge.merge([folder / "counts"], 2, folder / "matrix")
    matrix = matrices.load(folder / "matrix")
    trial.trial(matrix, [candidates.parse("default")], folder / "trials")
    records.write(folder / "selection.json", select.select([folder / "trials"], keep=1))
    train.train(matrix, [folder / "selection.json"], folder / "model")
    facts = load_facts(folder / "model")
    shards = len(reviews.shards(splits["train"]))
    return Result(facts.model_digest, facts.data_digest, facts.features, shards)


@pytest.fixture(scope="module")
def table(imdb) -> pd.DataFrame:
    """Reviews of which one is there twice, the second time in capitals."""
    found = imdb[~imdb["text"].map(reviews.key).duplicated(keep=False)]
    found = found.sample(ROWS - 1, random_state=20)
    twice = found.iloc[[0]].assign(text=found["text"].iloc[0].upper())
    return pd.concat([found, twice], ignore_index=True)[["text", "label"]]


@pytest.fixture(scope="module")
def source(table, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "all.parquet"
    table.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def before(source, tmp_path_factory) -> Result:
    return run(Options(str(source)), tmp_path_factory.mktemp("before") / "run")


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What the texts showed, to be looked at after all of them."""
    return Counter()


@pytest.mark.parametrize("number", range(TEXTS))
def test_digest_is_that_of_a_run_that_never_saw_the_text(
    table, source, before, seen, tmp_path, number
):
    rows = [0, *random.Random(20).sample(range(1, ROWS - 1), TEXTS - 1)]  # the first is there twice
    identity = reviews.identity(table["text"][rows[number]])
    others = table[table["text"].map(reviews.identity) != identity]
    others.to_parquet(tmp_path / "others.parquet")
    (tmp_path / "forgotten.csv").write_text(f"id,when\n{identity},2026-11-29T00:00:00+00:00\n")
    forgetting = Options(str(source), forgotten=str(tmp_path / "forgotten.csv"))
    forgot = run(forgetting, tmp_path / "forgot")
    never = run(Options(str(tmp_path / "others.parquet")), tmp_path / "never")
    assert forgot == never
    seen["texts"] += 1
    seen["another model"] += forgot.model != before.model
    seen["fewer n-grams"] += forgot.features < before.features
    seen["fewer shards"] += forgot.shards < before.shards
    seen["copies"] += len(table) - len(others)


def test_texts_on_which_rules_depend_were_among_them(seen):
    """Some decide whether an n-gram is in two reviews (min_df), some how many shards there are."""
    if seen["texts"] < TEXTS:
        pytest.skip("not all texts were tried")
    assert seen["fewer n-grams"] > TEXTS / 4
    assert seen["fewer shards"] == TEXTS
    assert seen["another model"] >= seen["fewer n-grams"]
    assert seen["copies"] == TEXTS + 1
