"""The rows of a query of a database, at any address that SQLAlchemy knows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from components.errors import UnavailableError, UserError
from components.io.reviews import BATCH_ROWS
from components.reading.batches import Batch
from components.reading.options import Options, require_columns
from components.reading.passwords import VARIABLE, database_url, shown

CONNECT_SECONDS = 60
# words of a server that responds and refuses the login; a driver gives no code for these
_REFUSALS = ("password", "authentication", "denied", "does not exist", "unknown database", "pg_hba")


def read(options: Options) -> Iterator[Batch]:
    """Yield the rows of ``options.query`` in the order in which the database gives them.

    The rows come through a cursor on the server, where the driver has one, so that memory holds a
    batch or two. Nothing is committed.

    Raises:
        UserError: there is no query, or it or the login is at fault.
        UnavailableError: the database does not respond.
    """
    address = shown(options.source)
    with _connected(options, address) as connection, _query_errors(connection, address):
        result = connection.exec_driver_sql(options.query)  # a text of SQLAlchemy has parameters
        names = [*result.keys()]
        require_columns(names, options, f"{address}: query", "; or name it in the query, with AS")
        text, label = names.index(options.text_column), names.index(options.label_column)
        group = names.index(options.group_column) if options.group_column else None
        before = 0
        for rows in result.partitions(BATCH_ROWS):
            texts = [row[text] for row in rows]
            numbers = [*range(before + 1, before + len(rows) + 1)]
            before += len(rows)
            for number, value in zip(numbers, texts, strict=True):
                if not isinstance(value, str | None):
                    kind = type(value).__name__
                    raise UserError(
                        f"{address}: row {number}: column {options.text_column!r} is of {kind}, not"
                        " of texts; cast it in the query"
                    )
            groups = [None if group is None else row[group] for row in rows]
            yield Batch(texts, [row[label] for row in rows], groups, numbers, "row")


def name(source: str) -> str:
    """Return the name of a database, or of the file of one without its endings."""
    return Path(database_url(source).database or "").name.split(".")[0] or "database"


def file(source: str) -> Path | None:
    """Return the file that a database is, None if it is a server.

    Raises:
        UserError: there is no such file.
    """
    url = database_url(source)
    if url.get_backend_name() not in ("sqlite", "duckdb"):
        return None
    path = Path(url.database or "")
    if not path.is_file():  # connecting would create it
        raise UserError(
            f"{shown(source)}: no such file; three slashes stand before a relative path"
        )
    return path


@contextmanager
def _connected(options: Options, address: str) -> Iterator[Connection]:
    if not options.query.strip():
        raise UserError(
            f"{address}: ingest.query is required, with the columns {options.text_column!r} and"
            f" {options.label_column!r} in its result"
        )
    url, arguments = database_url(options.source), dict[str, Any]()
    if file(options.source) is None:
        url = url.set(password=os.environ.get(VARIABLE) or None)
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        arguments["connect_timeout"] = CONNECT_SECONDS
    try:
        engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=arguments)
        connection = engine.connect()
    except ModuleNotFoundError as error:
        raise UserError(
            f"{address}: needs the Python package {error.name}, which is not installed"
        ) from error
    except DBAPIError as error:
        reason = _reason(error, url)
        refused = any(word in reason.lower() for word in _REFUSALS)
        if refused and url.password is None and file(options.source) is None:
            reason += f"; {VARIABLE} is not set"
        is_user = refused or not isinstance(error, sqlalchemy.exc.OperationalError)
        raise (UserError if is_user else UnavailableError)(f"{address}: {reason}") from error
    except (SQLAlchemyError, TypeError, ValueError) as error:  # TypeError: an unknown argument
        raise UserError(f"{address}: {_reason(error, url)}") from error
    chosen: dict[str, Any] = {
        **{"stream_results": True, "max_row_buffer": BATCH_ROWS},
        "no_parameters": True,  # else a % in the query would begin one
    }
    if url.get_backend_name() == "postgresql":
        chosen["postgresql_readonly"] = True
    try:
        yield connection.execution_options(**chosen)
    finally:
        with suppress(SQLAlchemyError):  # the connection may be lost: an earlier error says so
            connection.close()


@contextmanager
def _query_errors(connection: Connection, address: str) -> Iterator[None]:
    """Report an error of a query: of the user, if the database still answers another query."""
    try:
        yield
    except DBAPIError as error:
        message = f"{address}: {_reason(error, connection.engine.url)}"
        locked = "database is locked" in message  # of SQLite, which gives up after seconds
        if locked or error.connection_invalidated or not _responds(connection):
            raise UnavailableError(message) from error
        raise UserError(f"{message}; see ingest.query") from error
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        reason = _reason(error, connection.engine.url)
        raise UserError(f"{address}: {reason}; see ingest.query") from error


def _responds(connection: Connection) -> bool:
    try:
        connection.rollback()
        connection.exec_driver_sql("select 1").close()
    except (SQLAlchemyError, OSError):
        return False
    return True


def _reason(error: Exception, url: URL) -> str:
    """Return what the driver says, without the password."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    return said.replace(str(url.password), "***") if url.password else said
