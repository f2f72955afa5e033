"""Several sources at once: each has a name, which its rows get in the column ``source``."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.errors import UserError
from components.reading import builtin, sources
from components.reading.options import Options

PARAMETER = "ingest.other_sources"


def by_name(options: Options) -> dict[str, Options]:
    """Return the options of each source by its name, ``options.source`` first.

    A source is read with the options of the first, but for those that it sets itself. The built-in
    sets have columns and labels of their own.

    Raises:
        UserError: two sources have one name or address, or an option is wrong.
    """
    first = replace(options, other_sources={})
    found = {_own_name(options.source): first}
    for name, given in options.other_sources.items():
        other = {"source": given} if isinstance(given, str) else given
        if name in found:
            raise UserError(f"{PARAMETER}: {name}: {found[name].source} has this name already")
        found[name] = _options(first, other, f"{PARAMETER}: {name}")
    addresses: dict[str, str] = {}
    for name, each in found.items():
        if (other_name := addresses.setdefault(_resolved(each.source), name)) != name:
            raise UserError(f"{PARAMETER}: {name}: {each.source} is read already, as {other_name}")
    return found


def _options(first: Options, given: dict[str, Any], where: str) -> Options:
    known = {field.name for field in fields(Options)} - {"other_sources", "exclude"}
    if unknown := given.keys() - known:
        raise UserError(f"{where}: {min(unknown)}: no such option of a source")
    source = given.get("source")
    if not isinstance(source, str):
        raise UserError(f"{where}: source is required, an address")
    try:
        if builtin.is_name(source):
            return Options(**given, exclude=first.exclude)
        return replace(first, **given)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{where}: {fault['loc'][0]}: {fault['msg']}") from error


def _own_name(source: str) -> str:
    return builtin.name(source) if builtin.is_name(source) else sources.name(source)


def _resolved(source: str) -> str:
    """Return one spelling of an address."""
    if builtin.is_name(source):
        return f"{builtin.PREFIX}:{builtin.name(source)}"
    return source if "://" in source else str(Path(source).resolve())
