"""Fit the model that the search found best to all reviews but those of the test."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentiment.model
import sentiment.store
from components import candidates, cli, trial
from components.errors import UserError
from components.io import matrices
from components.io.files import read_json, replacing_directory, write_json
from components.io.matrices import Matrix
from components.io.models import TRIALS_FILE
from sentiment import training
from sentiment.regression import Linear
from sentiment.store import FACTS_FILE

log = logging.getLogger("train")


def train(matrix: Matrix, selections: Sequence[Path], output: Path) -> dict[str, Any]:
    """Write the model and the facts of its training to the directory ``output``; return these.

    ``selections`` are files from select, of all the rungs. The best trial of the largest budget is
    taken, with the iterations and the calibration that the validation reviews gave it, and fitted
    to the training and the validation reviews.
    """
    found = candidates.ranked(trial for path in selections for trial in read_json(path)["trials"])
    best = found[0]
    if best["data_digest"] != matrix.facts["data_digest"]:
        raise UserError("--selections: not of these reviews; run trial and select again")
    rows = [*matrix.train, *matrix.valid]
    how = {name: best[name] for name in ("iterations", "slope", "offset")}
    linear = training.fit(trial.weighting(matrix, best["candidate"]), rows, **how)
    used = linear.squares > 0  # the others add nothing to a score
    parameters = best["candidate"] | {
        "min_df": matrix.facts["min_df"],
        "iterations": best["iterations"],
    }
    pipeline = sentiment.model.build(**parameters)
    pipeline["ngrams"].adopt(matrix.tokens, matrix.keys[used])
    pipeline["classifier"].adopt(
        Linear(linear.weights[used], linear.squares[used], linear.intercept)
    )
    facts = {
        "rows": sum(matrix.facts["rows"].values()),
        "features": int(used.sum()),
        "data_digest": matrix.facts["data_digest"],
        "parameters": parameters,
        "valid": best["valid"],
    }
    with replacing_directory(output) as partial:
        facts["model_digest"] = sentiment.store.save(pipeline, partial)
        write_json(partial / FACTS_FILE, facts)
        write_json(partial / TRIALS_FILE, found)
    return facts


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.train", description=__doc__)
    parser.add_argument("--matrix", required=True, type=Path, help="directory from merge")
    parser.add_argument(
        "--selections", required=True, type=Path, nargs="+", help="JSON files from select"
    )
    parser.add_argument("--model", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        facts = train(matrices.load(args.matrix), args.selections, args.model)
        log.info("%s", facts["parameters"])
        form = "%d reviews, %d n-grams, model %s in %s"
        log.info(form, facts["rows"], facts["features"], facts["model_digest"][:12], args.model)

    return cli.run("train", work)


if __name__ == "__main__":
    raise SystemExit(main())
