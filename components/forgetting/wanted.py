"""The texts to forget, and how a copy of one is recognised."""

import re
from collections.abc import Set
from dataclasses import dataclass, field

from components.errors import UserError
from components.io.reviews import identity
from sentiment.masking import mask

IDENTITY = re.compile(r"[0-9a-f]{32}")
_REQUEST = re.compile(r"(?P<id>[A-Za-z0-9._:-]{1,128})(?:/(?P<index>\d+))?")


@dataclass
class Wanted:
    """Identities of the texts to forget, and the captured predictions that held them.

    The predictor masks what it captures. So the masked form of a text is a copy of it, and all
    texts with the masked form of a captured one are its copies (``masked``): captures cannot tell
    them apart. ``requests`` are ids with the index of the text in the request. ``given`` has the
    identities of a text by the flag that names it, and ``seen`` those that were found.
    """

    identities: set[str] = field(default_factory=set)
    masked: set[str] = field(default_factory=set)
    requests: set[tuple[str, int]] = field(default_factory=set)
    given: dict[str, set[str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, flag: str, identities: set[str]) -> None:
        self.identities |= identities
        self.given.setdefault(flag, set()).update(identities)

    def add_text(self, flag: str, text: str) -> None:
        self.add(flag, forms(text))

    def add_captured(self, flag: str, text: str) -> None:
        """Add a text as it was captured."""
        self.add_text(flag, text)
        self.masked.add(identity(text))

    def not_found(self, listed: Set[str]) -> list[str]:
        """Return the flags whose texts were neither seen nor listed before."""
        found = self.seen | listed
        return [flag for flag, identities in self.given.items() if found.isdisjoint(identities)]

    def is_copy(self, text: str) -> bool:
        """Tell whether a text is a copy of one to forget, and learn its identities."""
        own = identity(text)
        if own not in self.identities and not (self.masked and identity(mask(text)) in self.masked):
            return False
        found = forms(text)
        self.identities |= found
        self.seen |= found
        return True


def forms(text: str) -> set[str]:
    """Return the identities of a text as it is, masked, and masked with single spaces.

    A number is masked by the white space in it, which may differ in the copy that was captured.
    """
    return {identity(text), identity(mask(text)), identity(mask(" ".join(text.split())))}


@dataclass(frozen=True)
class Request:
    """A captured request by its id; all its texts if ``index`` is None."""

    id: str
    index: int | None

    def is_of(self, id: str, index: int) -> bool:
        return id == self.id and self.index in (None, index)

    def __str__(self) -> str:
        return self.id if self.index is None else f"{self.id}/{self.index}"


def parse_request(text: str) -> Request:
    """Parse ``REQUEST_ID`` or ``REQUEST_ID/INDEX``.

    Raises:
        UserError: the text is neither.
    """
    match = _REQUEST.fullmatch(text)
    if match is None:
        raise UserError(
            f"--id {text}: not 32 hexadecimal digits, a request id or a request id with /INDEX"
        )
    return Request(match["id"], None if match["index"] is None else int(match["index"]))
