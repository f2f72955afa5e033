"""Count the n-grams of each shard of reviews, as many shards at a time as there are cores."""

import argparse
import ctypes
import logging
import os
import signal
from argparse import ArgumentTypeError
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from joblib import cpu_count

from components import cli
from components.errors import UserError
from components.io import reviews
from components.io.files import replacing_directory, write_json
from components.io.matrices import SHARD_FILE
from sentiment import ngrams, shards
from sentiment.ngrams import MAX_N

log = logging.getLogger("count")
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def count(
    train: Path, valid: Path, max_n: int, output: Path, part: tuple[int, int] = (1, 1)
) -> list[str]:
    """Write a directory of counts for each shard to ``output`` and return their names.

    ``part`` (i, n) takes every n-th shard from the i-th on, so that n tasks share the work.
    """
    of_split = {"train": reviews.shards(train), "valid": reviews.shards(valid)}
    named = [(f"{name}-{path.stem}", path) for name, paths in of_split.items() for path in paths]
    named = named[part[0] - 1 :: part[1]]
    with replacing_directory(output) as partial_output:
        work = partial(_count, max_n, partial_output)
        workers = min(cpu_count(), len(named) or 1)
        with ProcessPoolExecutor(
            workers, initializer=_end_with_parent, initargs=(os.getpid(),)
        ) as pool:
            for done, (name, rows) in enumerate(pool.map(work, named), 1):
                log.info("%s: %d reviews, %d of %d shards", name, rows, done, len(named))
    return [name for name, _ in named]


def _end_with_parent(parent: int) -> None:
    """Have Linux end this worker when its parent is killed, or it would wait for work for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed meanwhile
        os._exit(1)


def _count(max_n: int, output: Path, named: tuple[str, Path]) -> tuple[str, int]:
    name, path = named
    table = reviews.read(path)
    if table.isna().any(axis=None):
        raise UserError(f"{path}: has missing values; run prepare first")
    counts = ngrams.count(table["text"], max_n)
    shards.write_counts(counts, table["label"].to_numpy(), output / name)
    facts = {"rows": len(table), "digest": reviews.digest([table]), "max_n": max_n}
    write_json(output / name / SHARD_FILE, facts)
    return name, len(table)


def _part(text: str) -> tuple[int, int]:
    """Parse ``2/3``."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ArgumentTypeError(f"{text} is not a part such as 1/2")
    return int(number), int(of)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.count", description=__doc__)
    parser.add_argument("--train", required=True, type=Path, help="directory from prepare")
    parser.add_argument("--valid", required=True, type=Path, help="directory from prepare")
    longest = range(1, MAX_N + 1)
    parser.add_argument("--max-n", type=int, choices=longest, default=MAX_N, help="longest n-gram")
    parser.add_argument(
        "--part", type=_part, default=(1, 1), help="of the shards, such as 1/2; default: all"
    )
    parser.add_argument("--counts", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        count(args.train, args.valid, args.max_n, args.counts, args.part)

    return cli.run("count", work)


if __name__ == "__main__":
    raise SystemExit(main())
