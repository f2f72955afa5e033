"""Read the folder aclImdb of Maas et al. 2011: 25,000 reviews to train and 25,000 to test.

``train/pos/123_7.txt`` is review 123 with 7 of 10 stars, and line 124 of ``train/urls_pos.txt`` is
the address of its film.
"""

import re
from pathlib import Path

import pandas as pd

from components.errors import UserError

ADDRESS = "https://ai.stanford.edu/~amaas/data/sentiment/"
LABELS = {"neg": 0, "pos": 1}
SOURCE = "aclImdb"
_NAME = re.compile(r"(\d+)_(\d+)\.txt")


def read(folder: Path, half: str) -> pd.DataFrame:
    """Return the reviews of a half, ``train`` or ``test``, as the table between the stages.

    Column ``group`` has the address of the film; there is none where no file of addresses is.

    Raises:
        UserError: a file or folder is missing, or has another form.
    """
    sides = [_side(folder / half, name) for name in LABELS]
    table = pd.concat(sides, ignore_index=True)
    return table.assign(source=SOURCE).astype({"label": "int8"})


def _side(half: Path, name: str) -> pd.DataFrame:
    numbers = {}
    for path in (half / name).glob("*.txt"):
        found = _NAME.fullmatch(path.name)
        if not found:
            raise UserError(f"{path}: not named as 123_7.txt, number and stars of a review")
        numbers[path] = int(found[1])
    if not numbers:
        raise UserError(
            f"{half / name}: no reviews here; {ADDRESS} has the data, as aclImdb_v1.tar.gz"
        )
    paths = sorted(numbers, key=numbers.__getitem__)
    side = pd.DataFrame({"text": [path.read_text(encoding="utf-8") for path in paths]})
    side["label"] = LABELS[name]
    addresses = half / f"urls_{name}.txt"
    if addresses.exists():
        films = addresses.read_text(encoding="utf-8").splitlines()
        last = numbers[paths[-1]]
        if len(films) <= last:
            raise UserError(f"{addresses}: no line {last + 1}, for review {last}")
        side["group"] = [films[numbers[path]] for path in paths]
    return side
