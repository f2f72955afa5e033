"""Compare a run that forgets a text with a run on reviews that never had it, for random texts.

Both run all stages from ingest to train with the values of params.yaml, on the built-in reviews.
The forgetting run reads all reviews and a list with the identity of the text; the other reads a
file without the text and its copies. Equal digests are equal model files, bit by bit.
"""

import argparse
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.processes import ROOT
from components import count, ingest, merge, prepare, select, train, trial
from components.io import candidates, matrices, records, reviews
from components.io.models import load_facts
from components.reading.options import Options

SEED = 20
BOUNDARY = 5833  # reviews a shard: without a text that is there twice, train has a shard less


@dataclass(frozen=True)
class Run:
    """A trained model: its digest, that of its data, n-grams, shards and seconds."""

    model: str
    data: str
    features: int
    shards: int
    seconds: float


def run(options: Options, folder: Path, params: dict[str, Any], shard_rows: int) -> Run:
    """Run the stages from ingest to train in ``folder``."""
    started = time.monotonic()
    table, matrix, model = folder / "reviews.parquet", folder / "matrix", folder / "model"
    ingest.ingest(options, table)
    splits = {name: folder / name for name in prepare.SPLITS}
    valid, test = (params["prepare"][f"{name}_fraction"] for name in ("valid", "test"))
    prepare.prepare(table, splits, valid, test, shard_rows)
    count.count(splits["train"], splits["valid"], params["count"]["max_n"], folder / "counts")
    merge.merge([folder / "counts"], output=matrix, **params["merge"])
    opened, names = matrices.load(matrix), params["trial"]["candidates"]
    for key, rung in params["rungs"].items():
        given = [candidates.parse(name) for name in names]
        trials, selection = folder / "trials" / key, folder / "selection" / f"{key}.json"
        iterations = params["trial"]["max_iterations"]
        trial.trial(opened, given, trials, rung["trial"]["budget"], iterations)
        chosen = select.select([trials], rung["select"]["keep"])
        records.write(selection, chosen)
        names = chosen.selected
    files = sorted((folder / "selection").glob("*.json"))
    train.train(opened, files, model)
    facts = load_facts(model)
    shards = len(reviews.shards(splits["train"]))
    seconds = time.monotonic() - started
    return Run(facts.model_digest, facts.data_digest, facts.features, shards, seconds)


def without(table: Path, identity: str, output: Path) -> None:
    """Write the reviews of ``table`` without a text, with the names of the classes as labels."""
    names, found = reviews.classes(table), reviews.read(table)
    kept = found[[reviews.identity(text) != identity for text in found["text"]]]
    labels = [names[label] for label in kept["label"]]
    pq.write_table(pa.table({"text": kept["text"].tolist(), "label": labels}), output)


def choose(table: Path, texts: int) -> list[tuple[str, int]]:
    """Return identities to forget, with their copies; all but the first are random.

    The first is a text for training that is there twice, if there is one: without it, at BOUNDARY
    reviews a shard there is a shard less.
    """
    labels: dict[str, list[int]] = defaultdict(list)
    found = reviews.read(table)
    for text, label in zip(found["text"], found["label"], strict=True):
        labels[reviews.identity(text)].append(label)
    draw = random.Random(SEED)  # noqa: S311 - not for cryptography
    twice = [each for each, of in labels.items() if len(of) == 2 and len({*of}) == 1]
    first = [each for each in twice if split(each) == "train"]
    first = [draw.choice(first)] if first else []
    others = [each for each in draw.sample([*labels], texts) if each not in first]
    return [(each, len(labels[each])) for each in [*first, *others][:texts]]


def split(identity: str) -> str:
    """Return the side of the split of a text, as prepare decides it."""
    position = int(identity[:12], 16) / 2**48
    return "test" if position < 0.2 else "valid" if position < 0.3 else "train"


def compare(options: Options, texts: int, scratch: Path) -> int:
    """Print a row for each text; return the number of texts with unequal digests."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    table, usual = scratch / "reviews.parquet", params["prepare"]["shard_rows"]
    ingest.ingest(options, table)
    before: dict[int, Run] = {}
    print("| text | copies | split | shards | n-grams | model digest | never seen | equal | s |")
    print(f"|{'---|' * 9}", flush=True)
    unequal = 0
    for number, (identity, copies) in enumerate(choose(table, texts)):
        shard_rows = BOUNDARY if number == 0 else usual
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            if shard_rows not in before:
                before[shard_rows] = run(options, Path(folder) / "all", params, shard_rows)
            listed, other = Path(folder) / "forgotten.csv", Path(folder) / "others.parquet"
            listed.write_text(f"id\n{identity}\n")
            without(table, identity, other)
            forgetting = replace(options, forgotten=str(listed))
            forgot = run(forgetting, Path(folder) / "forgot", params, shard_rows)
            never = run(Options(str(other)), Path(folder) / "never", params, shard_rows)
        old, same = before[shard_rows], (forgot.model, forgot.data) == (never.model, never.data)
        unequal += not same
        cells = (
            *(identity[:8], copies, split(identity), f"{old.shards} to {forgot.shards}"),
            f"{old.features} to {forgot.features}",
            *(forgot.model[:12], never.model[:12], "yes" if same else "NO"),
            f"{forgot.seconds:.0f}",
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return unequal


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forgetting", description=__doc__)
    parser.add_argument("--texts", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--source", default="builtin", help="default: %(default)s")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        unequal = compare(Options(args.source), args.texts, Path(scratch))
    print(f"\n{args.texts - unequal} of {args.texts} texts: the digests are equal")
    return 1 if unequal else 0


if __name__ == "__main__":
    raise SystemExit(main())
