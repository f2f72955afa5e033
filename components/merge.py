"""Merge the counts of all shards into one matrix of the n-grams that are frequent enough."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from components import stage
from components.errors import UserError
from components.io import matrices, records
from components.io.files import replacing_directory
from components.io.matrices import MATRIX_FILE, SHARD_FILE, MatrixFacts, ShardFacts
from components.stage import Artifact, parameters
from sentiment import merging, ngrams, shards

log = logging.getLogger("merge")

MAX_FEATURES = 4_000_000


def merge(
    counts: Sequence[Path], min_df: int, output: Path, max_features: int = MAX_FEATURES
) -> MatrixFacts:
    """Write the matrix of :mod:`components.io.matrices` to ``output`` and return its facts.

    ``counts`` are the directories that count wrote; together they hold all shards.

    Raises:
        UserError: a shard is there twice, a split has no counts, or the counts do not fit together.
    """
    found = [path.parent for directory in counts for path in directory.glob(f"*/{SHARD_FILE}")]
    paths = {path.name: path for path in found}
    names = sorted(paths)
    if len(names) < len(found):
        raise UserError(f"{', '.join(map(str, counts))}: a shard is in more than one of them")
    if not {"train", "valid"} <= {name.partition("-")[0] for name in names}:
        raise UserError(f"{', '.join(map(str, counts))}: no counts of train and valid")
    shard_facts = {name: records.read(paths[name] / SHARD_FILE, ShardFacts) for name in names}
    longest = {facts.max_n for facts in shard_facts.values()}
    if len(longest) > 1:
        raise UserError("the counts were not made with the same --max-n; run count again")
    classes = {facts.classes for facts in shard_facts.values()}
    if len(classes) > 1:
        raise UserError("the counts are not of the same classes; run prepare and count again")
    log.info("merging %d shards", len(names))
    loaders = [shards.counts_of(paths[name]) for name in names]
    try:
        tokens, keys = merging.merge(loaders, min_df, max_features)
    except ValueError as error:
        raise UserError(f"--counts: {error}") from error
    index = ngrams.numbers(tokens)
    digests = {name: facts.digest for name, facts in shard_facts.items()}
    facts = MatrixFacts(
        max_n=longest.pop(),
        min_df=min_df,
        features=len(keys),
        data_digest=matrices.data_digest(digests),
        rows={name: facts.rows for name, facts in shard_facts.items()},
        classes=classes.pop(),
    )
    with replacing_directory(output) as partial:
        for name in names:
            shards.write_rows(paths[name], index, keys, partial / name)
        np.save(partial / "tokens.npy", ngrams.pack(tokens))
        np.save(partial / "keys.npy", keys)
        records.write(partial / MATRIX_FILE, facts)
    return facts


@parameters
class Parameters:
    min_df: int = Field(default=2, ge=1, description="Fewest reviews that an n-gram must be in.")
    max_features: int = Field(default=MAX_FEATURES, ge=1, description="Most n-grams.")


def run(
    counts: Annotated[list[Path], Artifact("directories from count", "Dataset")],
    matrix: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    parameters: Parameters,
) -> None:
    facts = merge(counts, parameters.min_df, matrix, parameters.max_features)
    log.info("%d n-grams, %d reviews", facts.features, sum(facts.rows.values()))


def main(argv: list[str] | None = None) -> int:
    return stage.main("merge", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
