"""Merge the counts of all shards into one matrix of the n-grams that are frequent enough."""

import argparse
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components import cli
from components.arguments import count
from components.errors import UserError
from components.io.files import read_json, replacing_directory, write_json
from components.io.matrices import MATRIX_FILE, SHARD_FILE
from sentiment import merging, ngrams, shards

log = logging.getLogger("merge")

MAX_FEATURES = 4_000_000


def merge(
    counts: Sequence[Path], min_df: int, output: Path, max_features: int = MAX_FEATURES
) -> dict[str, Any]:
    """Write the matrix of :mod:`components.io.matrices` to ``output`` and return its facts.

    ``counts`` are directories from count, together of all the shards.
    """
    paths = [path.parent for directory in counts for path in directory.glob(f"*/{SHARD_FILE}")]
    found = {path.name: path for path in paths}
    names = sorted(found)
    if len(names) < len(paths):
        raise UserError(f"{', '.join(map(str, counts))}: a shard is in more than one of them")
    if not {"train", "valid"} <= {name.partition("-")[0] for name in names}:
        raise UserError(f"{', '.join(map(str, counts))}: no counts of train and valid in it")
    of_shard = {name: read_json(found[name] / SHARD_FILE) for name in names}
    longest = {facts["max_n"] for facts in of_shard.values()}
    if len(longest) > 1:
        raise UserError("the counts were not made with the same --max-n; run count again")
    log.info("merging %d shards", len(names))
    loaders = [shards.counts_of(found[name]) for name in names]
    try:
        tokens, keys = merging.merge(loaders, min_df, max_features)
    except ValueError as error:
        raise UserError(f"--counts: {error}") from error
    index = ngrams.numbers(tokens)
    digests = {name: facts["digest"] for name, facts in of_shard.items()}
    facts = {
        "max_n": longest.pop(),
        "min_df": min_df,
        "features": len(keys),
        "data_digest": hashlib.sha256(json.dumps(digests).encode()).hexdigest(),
        "rows": {name: facts["rows"] for name, facts in of_shard.items()},
    }
    with replacing_directory(output) as partial:
        for name in names:
            shards.write_rows(found[name], index, keys, partial / name)
        np.save(partial / "tokens.npy", ngrams.pack(tokens))
        np.save(partial / "keys.npy", keys)
        write_json(partial / MATRIX_FILE, facts)
    return facts


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.merge", description=__doc__)
    parser.add_argument(
        "--counts", required=True, type=Path, nargs="+", help="directories from count"
    )
    parser.add_argument("--min-df", type=count, default=2, help="fewest texts; default: 2")
    parser.add_argument(
        "--max-features",
        type=count,
        default=MAX_FEATURES,
        help="most n-grams; default: %(default)s",
    )
    parser.add_argument("--matrix", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        facts = merge(args.counts, args.min_df, args.matrix, args.max_features)
        log.info("%d n-grams, %d reviews", facts["features"], sum(facts["rows"].values()))

    return cli.run("merge", work)


if __name__ == "__main__":
    raise SystemExit(main())
