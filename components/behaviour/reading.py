"""Read the suite that evaluate.behaviour names."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from components.behaviour.suite import Suite
from components.errors import UserError
from components.reading.options import Options
from components.reading.sources import fetch
from components.stage import UniqueKeys, parameters

BUILTIN, NONE = "builtin", "none"
PARAMETER = "evaluate.behaviour"
_ENGLISH = Path(__file__).with_name("english.yaml")


@parameters
class Parameters:
    behaviour: str = Field(
        default=BUILTIN,
        min_length=1,
        description="Suite of behaviour: 'builtin' (English, negative and positive), 'none', or a"
        " YAML file of your own, at an address like a source's.",
    )


def read(address: str) -> Suite | None:
    """Return the suite at an address, None if it is 'none'.

    Raises:
        UserError: the file cannot be read or is no suite; the message has its case and field.
        UnavailableError: S3 or the web server does not respond.
    """
    if address == NONE:
        return None
    if address == BUILTIN:
        return parse(_ENGLISH.read_bytes(), str(_ENGLISH))
    with tempfile.TemporaryDirectory() as scratch:
        origin = next(fetch(Options(source=address), Path(scratch)))
        try:
            content = origin.path.read_bytes()
        except OSError as error:
            raise UserError(f"{PARAMETER}: {address}: {error.strerror}") from error
    return parse(content, f"{PARAMETER}: {address}")


def parse(content: bytes, where: str) -> Suite:
    """Return the suite that YAML describes; a message begins with ``where``.

    Raises:
        UserError: it does not describe any.
    """
    try:
        document = yaml.load(content, UniqueKeys)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: not YAML ({error})") from error
    if not isinstance(document, dict):
        raise UserError(f"{where}: it should be a mapping with language, classes and cases")
    try:
        return TypeAdapter(Suite).validate_python(document)
    except ValidationError as error:
        raise UserError(f"{where}: {_reason(error.errors()[0])}") from error


def _reason(error: Any) -> str:
    """Return what is wrong, after the number of the case and the name of the field."""
    place = list(error["loc"])
    parts = [f"case {place[1] + 1}"] if place[:1] == ["cases"] and len(place) > 1 else []
    if fields := place[2:] if parts else place:
        parts.append(".".join(str(each + 1 if isinstance(each, int) else each) for each in fields))
    kind, given = error["type"], f"{error['input']!r:.80}"
    if kind == "value_error":
        what = str(error["msg"]).removeprefix("Value error, ")
    elif kind == "missing":
        what = "is required"
    elif kind in ("unexpected_keyword_argument", "unexpected_keyword"):
        what = "no such field"
    else:
        what = f"{given}: {str(error['msg']).replace('Input should', 'it should')}"
        if kind == "string_type":
            what += "; quote a text that YAML takes for another value, as no, 5 or 1.5"
    return ": ".join([*parts, what])
