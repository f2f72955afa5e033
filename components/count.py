"""Count the n-grams of each shard of reviews, as many shards at a time as there are cores."""

import ctypes
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from joblib import cpu_count
from pydantic import Field

from components import stage
from components.errors import UserError
from components.io import parts, records, reviews
from components.io.files import replacing_directory
from components.io.matrices import SHARD_FILE, ShardFacts
from components.io.parts import PartText
from components.stage import Artifact, parameters
from sentiment import ngrams
from sentiment.ngram_keys import MAX_N
from sentiment.shards import write_counts
from sentiment.tokens import prepare

log = logging.getLogger("count")
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_KILLED = (
    "a worker process was killed, most likely for lack of memory; set a smaller shard_rows of"
    " prepare in params.yaml, or LOKY_MAX_CPU_COUNT=1 to count one shard at a time"
)


def count(train: Path, valid: Path, max_n: int, output: Path, part: str = "1/1") -> list[str]:
    """Write a directory of counts for each shard in ``part`` to ``output``; return their names."""
    splits = {"train": reviews.shards(train), "valid": reviews.shards(valid)}
    shards = [(f"{split}-{path.stem}", path) for split, paths in splits.items() for path in paths]
    shards = parts.take(part, shards)
    with (
        replacing_directory(output) as partial_output,
        _workers(min(cpu_count(), len(shards) or 1)) as parallel_map,
    ):
        work = partial(_count_shard, max_n, partial_output)
        for done, (name, rows) in enumerate(parallel_map(work, shards), 1):
            log.info("%s: %d reviews, %d of %d shards", name, rows, done, len(shards))
    return [name for name, _ in shards]


@contextmanager
def _workers(number: int) -> Iterator[Callable[..., Any]]:
    """Yield a ``map`` that runs in worker processes or, if there can be none, in this process.

    Raises:
        UserError: a worker was killed.
    """
    try:
        pool = ProcessPoolExecutor(number, initializer=_end_with_parent, initargs=(os.getpid(),))
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        log.warning("counting in one process: /dev/shm takes no semaphore (%s)", reason)
        yield map
        return
    with pool:
        try:
            _start_all(pool)
            yield pool.map
        except BrokenProcessPool as error:
            raise UserError(_KILLED) from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # the pool would wait for the end of their shards
            raise


def _start_all(pool: ProcessPoolExecutor) -> None:
    """Fork the workers with Ctrl-C blocked: it is for the parent, and would be lost in a fork."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(os.getpid)  # the first task starts all workers, and they inherit the mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_with_parent(parent: int) -> None:
    """Ask Linux to kill this worker with its parent: else the worker waits for work for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent was killed before this call
        os._exit(1)


def _count_shard(max_n: int, output: Path, shard: tuple[str, Path]) -> tuple[str, int]:
    name, path = shard
    table = reviews.read(path)
    if table[reviews.SCHEMA.names].isna().any(axis=None):  # a group may be missing
        raise UserError(f"{path}: has missing values; run prepare first")
    counts = ngrams.count(table["text"], max_n, prepare)
    write_counts(counts, table["label"].to_numpy(), output / name)
    facts = ShardFacts(len(table), reviews.digest([table]), max_n, reviews.classes(path))
    records.write(output / name / SHARD_FILE, facts)
    return name, len(table)


@parameters
class Parameters:
    max_n: int = Field(default=MAX_N, ge=1, le=MAX_N, description="Longest n-gram.")
    part: PartText = Field(default="1/1", description="Part of the shards to count, such as 1/2.")


def run(
    train: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    valid: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    counts: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    parameters: Parameters,
) -> None:
    count(train, valid, parameters.max_n, counts, parameters.part)


def main(argv: list[str] | None = None) -> int:
    return stage.main("count", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
