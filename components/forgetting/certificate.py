"""The certificate: what was removed where, how the model changed, and what remains."""

from collections import Counter
from dataclasses import field
from pathlib import Path

from components.errors import UserError
from components.forgetting.removal import Left, Removed
from components.forgetting.sightings import Searched
from components.io import matrices, records, reviews
from components.io.files import replacing
from components.io.matrices import data_digest
from components.io.models import load_facts
from components.io.records import record

FOLDER = Path("reports/forgotten")
OBJECT = "DVC object"
MODEL, MATRIX = Path("models/sentiment"), Path("data/matrix")
SPLITS = Path("data")


@record
class Model:
    """A model by its digest, and by that of the data that it was fitted with."""

    model_digest: str
    data_digest: str


@record
class Certificate:
    """``identities`` are hashes of the texts; no text is in a certificate.

    ``finished`` is false in what an interrupted run leaves, and ``planned`` are the objects of DVC
    that it was to remove. ``without`` tells whether the model
    after it was fitted with the present training data, in which none of the texts is.
    """

    at: str
    finished: bool
    identities: list[str]
    listed_in: str
    removed: list[Removed]
    tables_before: list[Searched]
    tables_after: list[Searched]
    left: list[Left]
    planned: list[str] = field(default_factory=list)
    without: bool = False
    model_before: Model | None = None
    model_after: Model | None = None


def model() -> Model | None:
    """Return the present model; None if there is none, or one that cannot be read."""
    try:
        facts = load_facts(MODEL)
    except UserError:
        return None
    return Model(facts.model_digest, facts.data_digest)


def objects() -> set[str]:
    """Return the objects of DVC that earlier runs have removed, or were to remove."""
    made = [records.read(path, Certificate) for path in sorted(FOLDER.glob("*.json"))]
    removed = (each for one in made for each in one.removed if each.what == OBJECT)
    return {each.place.rpartition(" ")[2] for each in removed} | {
        md5 for one in made for md5 in one.planned
    }


def is_fitted_without(after: Model | None, tables: list[Searched]) -> bool:
    """Tell whether the model is of the present reviews for training, and these hold no text."""
    if after is None or any(each.found for each in tables):
        return False
    digests = {}
    for name in matrices.load(MATRIX).facts.rows:
        split, _, stem = name.partition("-")
        digests[name] = reviews.digest([reviews.read(SPLITS / split / f"{stem}.parquet")])
    return data_digest(digests) == after.data_digest


def write(made: Certificate) -> Path:
    """Write a certificate as JSON, and as Markdown beside it; return the path of the latter."""
    path = FOLDER / f"{made.at.replace(':', '').replace('+0000', 'Z')}.json"
    records.write(path, made)
    with replacing(path.with_suffix(".md")) as partial:
        partial.write_text(_markdown(made))
    return path.with_suffix(".md")


def _markdown(made: Certificate) -> str:
    state = (
        "" if made.finished else "\n**Interrupted**: run `python -m components.forget --listed`.\n"
    )
    names = "\n".join(f"- `{each}`" for each in made.identities)
    return f"""# Forgotten at {made.at}
{state}
{len(made.identities)} identities, all in `{made.listed_in}`:

{names}

## Removed

| what | where | records | SHA-256 before | after |
|---|---|---|---|---|
{_removed(made.removed)}

## Tables of the project

| table | rows before | of the texts | rows after | of the texts | SHA-256 after |
|---|---|---|---|---|---|
{_tables(made.tables_before, made.tables_after)}

## Model

| | model digest | digest of its data |
|---|---|---|
| before | {_digests(made.model_before)} |
| after | {_digests(made.model_after)} |

{_statement(made)}

## What remains

{_left(made.left)}
"""


def _removed(removed: list[Removed]) -> str:
    objects: Counter[str] = Counter()
    lines = []
    for each in removed:
        if each.what == OBJECT:
            objects[each.place.partition(":")[0]] += 1
        else:
            after = each.after[:12] if each.after else "deleted"
            cells = each.what, f"`{each.place}`", each.records, each.before[:12], after
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        f"| objects, listed in the JSON | {place} | {n} | | |" for place, n in objects.items()
    ]
    return "\n".join(lines) or "| nothing | | | | |"


def _tables(before: list[Searched], after: list[Searched]) -> str:
    found = {each.path: each for each in after}
    paths = dict.fromkeys([*(each.path for each in before), *found])
    old = {each.path: each for each in before}

    def cells(searched: Searched | None) -> tuple[object, object]:
        return (searched.rows, searched.found) if searched else ("", "")

    return "\n".join(
        "| `{}` | {} | {} | {} | {} | {} |".format(
            path,
            *cells(old.get(path)),
            *cells(found.get(path)),
            found[path].digest[:12] if path in found else "",
        )
        for path in paths
    )


def _digests(model: Model | None) -> str:
    return f"`{model.model_digest}` | `{model.data_digest}`" if model else "none |"


def _statement(made: Certificate) -> str:
    if made.without:
        return (
            "The model after was fitted with the reviews of `data/train` and `data/valid`, whose"
            " digest it names, and none of them is one of these texts."
        )
    return "It is not shown that a model was fitted without these texts."


def _left(left: list[Left]) -> str:
    return "\n".join(f"- {each.place}: {each.why}" for each in left) or "Nothing that is known."
