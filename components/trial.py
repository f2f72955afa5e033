"""Fit candidates to a part of the training reviews and see how each does on the validation ones."""

import argparse
import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import sentiment
from components import candidates, cli
from components.arguments import count, share
from components.candidates import Candidate
from components.errors import UserError
from components.io import matrices
from components.io.files import read_json, write_json
from components.io.matrices import Matrix
from sentiment import ngrams, training
from sentiment.training import Weighting

log = logging.getLogger("trial")

MAX_ITERATIONS = 8
CODE = ("exact", "regression", "shards", "training", "weighting")  # of sentiment, as in dvc.yaml


def trial(
    matrix: Matrix,
    given: Sequence[Candidate],
    output: Path,
    budget: float = 1.0,
    max_iterations: int = MAX_ITERATIONS,
) -> list[dict[str, Any]]:
    """Write what is found of each candidate to a file in ``output``, and return it.

    ``budget`` is the share of the training shards that is learned from, the first ones of them.
    A file that is there already, of the same reviews and the same code, is not made again: a
    search that was stopped goes on where it was. One of a candidate that is not given now goes.
    """
    wanted = {f"{candidates.name(candidate)}.json" for candidate in given}
    for path in output.glob("*.json"):  # of an earlier search, perhaps on other reviews
        if path.name not in wanted:
            path.unlink()
    rows = matrix.train[: max(1, round(budget * len(matrix.train)))]
    found = []
    for candidate in given:
        path = output / f"{candidates.name(candidate)}.json"
        identity = {
            "candidate": candidate,
            "budget": budget,
            "max_iterations": max_iterations,
            "code_digest": _code_digest(),
            "data_digest": matrix.facts["data_digest"],
            "min_df": matrix.facts["min_df"],
        }
        if path.exists() and identity.items() <= (before := read_json(path)).items():
            log.info("%s: done before", candidates.name(candidate))
            found.append(before)
            continue
        started = time.monotonic()
        try:
            result = training.attempt(
                weighting(matrix, candidate), rows, matrix.valid, max_iterations
            )
        except ValueError as error:
            raise UserError(f"{candidates.name(candidate)}: {error}") from error
        valid = {name: getattr(result, name) for name in ("log_loss", "accuracy", "losses")}
        chosen = {name: getattr(result, name) for name in ("iterations", "slope", "offset")}
        found.append(identity | chosen | {"valid": valid})
        write_json(path, found[-1])
        log.info(
            "%s: log loss %.4f, accuracy %.4f after %d iterations, %.1f s",
            candidates.name(candidate),
            result.log_loss,
            result.accuracy,
            result.iterations,
            time.monotonic() - started,
        )
    return found


def weighting(matrix: Matrix, candidate: Candidate) -> Weighting:
    """Return how ``candidate`` weighs the columns of ``matrix``."""
    given = {name: candidate[name] for name in ("alpha", "ratio_power", "idf_power")}
    allowed = ngrams.lengths(matrix.keys) <= candidate["max_n"]
    return Weighting(min_df=matrix.facts["min_df"], allowed=allowed, **given)


def _code_digest() -> str:
    """Return the SHA-256 of the code that a result comes of."""
    folder = Path(str(sentiment.__file__)).parent
    paths = [Path(__file__), *(folder / f"{name}.py" for name in CODE)]
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.trial", description=__doc__)
    parser.add_argument("--matrix", required=True, type=Path, help="directory from merge")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--candidates",
        type=candidates.candidate,
        nargs="+",
        help="such as ratio_power=1,idf_power=0.5; 'default' is all by default",
    )
    given.add_argument("--selected", type=Path, help="JSON file from select, instead")
    parser.add_argument(
        "--budget", type=share, default=1.0, help="of the training shards; default: 1, all"
    )
    parser.add_argument(
        "--max-iterations", type=count, default=MAX_ITERATIONS, help="default: %(default)s"
    )
    parser.add_argument("--trials", required=True, type=Path, help="directory to write to")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        given = args.candidates or [
            candidates.candidate(text) for text in read_json(args.selected)["selected"]
        ]
        trial(matrices.load(args.matrix), given, args.trials, args.budget, args.max_iterations)

    return cli.run("trial", work)


if __name__ == "__main__":
    raise SystemExit(main())
