"""No password stands in an address of a source: it is refused there, and never shown."""

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:  # for a database only: the import takes a third of a second
    from sqlalchemy.engine import URL

VARIABLE = "SOURCE_PASSWORD"
_SCHEME = re.compile(r"([A-Za-z]\w*(?:\+\w+)?)://", re.ASCII)  # of SQLAlchemy
_SECRET = re.compile("pass|pwd|secret|token|odbc_connect", re.IGNORECASE)  # names of options
_WAY_OUT = (
    f"the address of a source has a password in it; leave it out, and set {VARIABLE} in the"
    " environment for a database, or what the driver reads for another storage"
)


def is_database(address: str) -> bool:
    """Return whether SQLAlchemy has a dialect for the address."""
    scheme = _SCHEME.match(address)
    if not scheme:
        return False
    import sqlalchemy.dialects
    from sqlalchemy.exc import NoSuchModuleError

    try:
        sqlalchemy.dialects.registry.load(_usual(scheme[1]).partition("+")[0])
    except NoSuchModuleError:
        return False
    return True


def database_url(address: str) -> "URL":
    """Return the parts of the address of a database.

    Raises:
        ValueError: it is malformed or has a password in it; the message shows no part of it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    scheme, separator, rest = address.partition("://")
    try:
        url = make_url(f"{_usual(scheme)}{separator}{rest}")
    except (ArgumentError, ValueError) as error:
        if "@" in rest:  # what is before it may be a password
            raise ValueError(f"{_WAY_OUT}, or is malformed") from error
        raise ValueError("the address of a database is malformed") from error
    if url.password is not None or any(map(_SECRET.search, url.query)):
        raise ValueError(_WAY_OUT)
    return url


def check(address: str) -> str:
    """Return the address.

    Raises:
        ValueError: it has a password in it, which the message does not show.
    """
    if is_database(address):
        database_url(address)
    elif ":" in re.split("[/?#]", address.partition("://")[2])[0].rpartition("@")[0]:
        raise ValueError(_WAY_OUT)
    return address


def shown(address: str) -> str:
    """Return the address for logs and reports: a query may hold the signature that opens a file."""
    if is_database(address):
        url = database_url(address).set(query={}, drivername=address.partition("://")[0])
        return url.render_as_string()
    if not address.startswith(("http://", "https://")):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return re.sub("[?#].*", "", address, flags=re.DOTALL)
    return urlunsplit(parts._replace(query="…" * bool(parts.query), fragment=""))


def _usual(scheme: str) -> str:
    """Return SQLAlchemy's spelling of a scheme, with the driver of PostgreSQL that is installed."""
    return "postgresql+psycopg2" if scheme in ("postgres", "postgresql") else scheme
