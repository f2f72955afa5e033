"""Merge the counts of all shards into one matrix of the n-grams that are frequent enough."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from components import forms, stage
from components.errors import UserError
from components.io import matrices, records
from components.io.files import replacing_directory
from components.io.matrices import MATRIX_FILE, SHARD_FILE, MatrixFacts, ShardFacts
from components.stage import Artifact, parameters
from sentiment import merging, ngram_keys, shards

log = logging.getLogger("merge")

MAX_FEATURES = 4_000_000


def merge(
    counts: Sequence[Path],
    min_df: int,
    output: Path,
    max_features: int = MAX_FEATURES,
    stemmers: Sequence[str] = (forms.NONE,),
) -> MatrixFacts:
    """Write the matrix of :mod:`components.io.matrices` to ``output`` and return its facts.

    ``counts`` are the directories that count wrote; together they hold all shards. Of ``stemmers``,
    :mod:`components.forms` chooses one.

    Raises:
        UserError: a shard is there twice, a split has no counts, the counts do not fit together, or
            a stemmer is unknown.
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
    facts = MatrixFacts(
        max_n=longest.pop(),
        min_df=min_df,
        features=0,
        data_digest=matrices.data_digest({k: each.digest for k, each in shard_facts.items()}),
        rows={name: each.rows for name, each in shard_facts.items()},
        classes=classes.pop(),
    )
    train, valid = (
        [paths[name] for name in names if name.startswith(f"{split}-")]
        for split in ("train", "valid")
    )
    given = forms.Reviews(train, valid, len(facts.classes), min_df, max_features)
    stemmer, losses = forms.choose(stemmers, given)
    facts = replace(
        facts,
        stemmer=None if stemmer == forms.NONE else stemmer,
        stemmers=losses or None,
    )
    log.info("merging %d shards", len(names))
    with replacing_directory(output) as partial, _reduced(paths, stemmer, output) as sources:
        loaders = [shards.counts_of(sources[name]) for name in names]
        try:
            tokens, keys = merging.merge(loaders, min_df, max_features)
        except ValueError as error:
            raise UserError(f"--counts: {error}") from error
        index = ngram_keys.numbers(tokens)
        for name in names:
            shards.write_rows(sources[name], index, keys, partial / name)
        np.save(partial / "tokens.npy", ngram_keys.pack(tokens))
        np.save(partial / "keys.npy", keys)
        facts = replace(facts, features=len(keys))
        records.write(partial / MATRIX_FILE, facts)
    return facts


@contextmanager
def _reduced(paths: dict[str, Path], stemmer: str, output: Path) -> Iterator[dict[str, Path]]:
    """Yield the counts of the shards with their tokens reduced, on the disk beside ``output``."""
    if stemmer == forms.NONE:
        yield paths
        return
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        reduced = {name: Path(scratch) / name for name in paths}
        for done, name in enumerate(sorted(paths), 1):
            forms.reduce(paths[name], stemmer, reduced[name])
            log.info("%s: words reduced by %s, %d of %d shards", name, stemmer, done, len(paths))
        yield reduced


@parameters
class Parameters:
    min_df: int = Field(default=2, ge=1, description="Fewest reviews that an n-gram must be in.")
    max_features: int = Field(default=MAX_FEATURES, ge=1, description="Most n-grams.")
    stemmers: tuple[str, ...] = Field(
        default=(forms.NONE,),
        min_length=1,
        description=(
            "How forms of a word may be made one token, by the validation reviews: none, first-5"
            " (letters), or a language of NLTK's Snowball stemmers, such as finnish."
        ),
    )


def run(
    counts: Annotated[list[Path], Artifact("directories from count", "Dataset")],
    matrix: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    parameters: Parameters,
) -> None:
    limits = parameters.min_df, matrix, parameters.max_features
    facts = merge(counts, *limits, parameters.stemmers)
    reduced = f", words reduced by {facts.stemmer}" if facts.stemmer else ""
    log.info("%d n-grams, %d reviews%s", facts.features, sum(facts.rows.values()), reduced)


def main(argv: list[str] | None = None) -> int:
    return stage.main("merge", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
