"""Several sources at once: each has a name, which its rows get in the column ``source``."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.errors import UserError
from components.io.reviews import LABELLED
from components.reading import builtin, labelled, sources
from components.reading.options import Options
from components.reading.passwords import is_database, shown

PARAMETER = "ingest.other_sources"


def by_name(options: Options) -> dict[str, Options]:
    """Return the options of each source by its name, ``options.source`` first.

    The labelled predictions come last, if there are any. A source is read with the options of the
    first, but for those that it sets itself. The built-in sets have columns and labels of their
    own, and only a database has a query.

    Raises:
        UserError: two sources have one name or address, or an option is wrong.
    """
    first = replace(options, other_sources={}, labelled="")
    if first.query and not is_database(first.source):
        raise UserError(f"ingest.query: {shown(first.source)} is no database")
    found = {_own_name(options.source): first}
    for name, given in options.other_sources.items():
        other = {"source": given} if isinstance(given, str) else given
        if name in found:
            other_source = shown(found[name].source)
            raise UserError(f"{PARAMETER}: {name}: {other_source} has this name already")
        found[name] = _options(first, other, f"{PARAMETER}: {name}")
    if LABELLED in found:
        address = shown(found[LABELLED].source)
        raise UserError(
            f"{address}: labelled predictions have the name {LABELLED}; use another one"
        )
    if options.labelled and labelled.exists(options.labelled):
        found[LABELLED] = Options(
            source=options.labelled, exclude=options.exclude, forgotten=options.forgotten
        )
    addresses: dict[tuple[str, str], str] = {}
    for name, each in found.items():
        if (other_name := addresses.setdefault((_resolved(each.source), each.query), name)) != name:
            source = shown(each.source)
            raise UserError(f"{PARAMETER}: {name}: {source} is read already, as {other_name}")
    return found


def _options(first: Options, given: dict[str, Any], where: str) -> Options:
    known = {field.name for field in fields(Options)}
    known -= {"other_sources", "labelled", "exclude", "forgotten"}
    if unknown := given.keys() - known:
        raise UserError(f"{where}: {min(unknown)}: no such option of a source")
    source = given.get("source")
    if not isinstance(source, str):
        raise UserError(f"{where}: source is required, an address")
    try:
        if builtin.is_name(source):
            found = Options(**given, exclude=first.exclude, forgotten=first.forgotten)
        else:
            query = first.query if is_database(source) else ""
            found = replace(first, **{"query": query} | given)
    except ValidationError as error:
        fault = error.errors()[0]
        message = fault["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {fault['loc'][0]}: {message}") from error
    if found.query and not is_database(source):
        raise UserError(f"{where}: query: {shown(source)} is no database")
    return found


def _own_name(source: str) -> str:
    return builtin.name(source) if builtin.is_name(source) else sources.name(source)


def _resolved(source: str) -> str:
    """Return one spelling of an address."""
    if builtin.is_name(source):
        return f"{builtin.PREFIX}:{builtin.name(source)}"
    return source if "://" in source else str(Path(source).resolve())
