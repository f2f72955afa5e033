"""Read training.json, findings.json and MLmodel beside a model, any of which may be absent."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sentiment import unseen
from sentiment.archive import parse
from sentiment.bounded import read_file
from sentiment.model_file import FACTS_FILE, FINDINGS_FILE

PACKAGING_FILE = "MLmodel"
MAX_BYTES = 2**21  # of JSON; reports of many sources take 100 kB
_MAX_PACKAGING = 2**16  # bytes; YAML takes a second for 100 kB
FILES = (FACTS_FILE, FINDINGS_FILE, PACKAGING_FILE)


@dataclass(frozen=True)
class Metadata:
    """The contents of the files; None where a file or an entry is absent."""

    digest: str | None  # in FACTS_FILE
    reference: Any  # in FINDINGS_FILE, not checked, see sentiment.drift.check_reference
    unseen_limit: float  # in FINDINGS_FILE, see sentiment.unseen.limit
    signature: dict[str, Any] | None  # in MLmodel: inputs and outputs
    created: float | None  # in MLmodel: seconds since 1970


def read(folder: Path) -> Metadata:
    """Read the files in ``folder``.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file has another form; the message names it and the field.
    """
    facts, findings = (
        _read(folder / name, MAX_BYTES, parse) for name in (FACTS_FILE, FINDINGS_FILE)
    )
    digest, limit = facts.get("model_digest"), findings.get("unseen_limit", unseen.DEFAULT_LIMIT)
    if not isinstance(digest, str | None):
        raise ValueError(f"{folder / FACTS_FILE}: model_digest is not a string")
    if type(limit) not in (float, int) or not 0 <= limit <= 1:
        raise ValueError(f"{folder / FINDINGS_FILE}: unseen_limit is not a share from 0 to 1")
    path = folder / PACKAGING_FILE
    packaging = _read(path, _MAX_PACKAGING, _parse_yaml)
    try:
        signature = _signature(packaging) if packaging else None
        created = _created(packaging)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Metadata(digest, findings.get("reference"), float(limit), signature, created)


def _read(path: Path, limit: int, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    """Return the mapping in a file, an empty one if there is no file."""
    try:
        data = read_file(path, limit)
    except FileNotFoundError:
        return {}
    try:
        value = parse(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a mapping of names to values")
    return value


class _Loader(yaml.BaseLoader):
    """Loads every scalar as a string, and no alias: ten lines of them can stand for a gigabyte."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("an alias, which no model has")
        return super().compose_node(parent, index)


def _parse_yaml(data: bytes) -> Any:
    try:
        return yaml.load(data, _Loader)  # noqa: S506 (a safe one)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _signature(packaging: dict[str, Any]) -> dict[str, Any]:
    try:
        return {key: parse(packaging["signature"][key]) for key in ("inputs", "outputs")}
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"signature: no inputs and outputs in JSON ({error!r:.200})") from error


def _created(packaging: dict[str, Any]) -> float | None:
    if "utc_time_created" not in packaging:
        return None
    try:
        moment = datetime.fromisoformat(packaging["utc_time_created"])
        return moment.replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"utc_time_created: not a time ({error!s:.100})") from error
