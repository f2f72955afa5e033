"""Records that stages hand to each other as JSON: each class has this one reader and writer."""

import typing
from pathlib import Path
from typing import Any, TypeVar

import pydantic.dataclasses
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from components.errors import UserError
from components.io.files import read_json, write_json

Record = TypeVar("Record")


@typing.dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def record(cls: type[Record]) -> type[Record]:
    """Make a class of records: a frozen dataclass that checks types when it is read.

    Fields that a later release has added are ignored.
    """
    config = ConfigDict(extra="ignore", populate_by_name=True, allow_inf_nan=False)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)
    return made


def read(path: Path, kind: type[Record]) -> Record:
    """Read a record of class ``kind``.

    Raises:
        UserError: the file cannot be read, or does not hold such a record.
    """
    return parse(read_json(path), kind, str(path))


def parse(value: Any, kind: type[Record], where: str) -> Record:
    """Return what was read from JSON as a record of class ``kind``.

    Raises:
        UserError: it is no such record; the message begins with ``where``.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: not a {kind.__name__}: {field}: {first['msg']}") from error


def write(path: Path, value: object) -> None:
    """Write a record, or a list of records; fields that are None are left out."""
    write_json(path, plain(value))


def plain(value: object) -> Any:
    """Return a record, or a list of records, as dictionaries and lists."""
    return TypeAdapter(type(value)).dump_python(
        value, mode="json", by_alias=True, exclude_none=True
    )
