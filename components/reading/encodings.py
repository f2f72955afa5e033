"""Encodings of files of text: the certain ones are detected, the others are proposed.

An encoding without a mark cannot be told for certain: of eighteen files in national encodings,
charset-normalizer took five for another. So a file that is not UTF-8 is refused, with a proposal.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from charset_normalizer import from_bytes

from components.errors import UserError
from components.reading.options import AUTO

SAMPLE = 1 << 18  # bytes that an encoding is guessed from
# the longest first: the mark of UTF-32 begins with that of UTF-16
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ACCENTED = re.compile("[\u00c0-\u00ff]")
_LATIN = re.compile("[A-Za-z]")
_OTHER = re.compile("[\u0370-\u05ff]")  # Greek, Cyrillic, Armenian, Hebrew
_JOINED = re.compile("[A-Za-z][\u0370-\u05ff]|[\u0370-\u05ff][A-Za-z]")
_FEWEST = 20  # letters beyond ASCII that a judgement needs


def detect(path: Path, given: str, address: str) -> str:
    """Return the encoding to read a file with.

    Raises:
        UserError: ``given`` is no encoding, or the file is UTF-8 and ``given`` is not.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    mark = next((name for mark, name in _MARKS.items() if sample.startswith(mark)), None)
    if given == AUTO:
        return mark or _utf16(sample) or "utf-8"
    try:
        name = codecs.lookup(given).name
        "".encode(given)
    except LookupError as error:
        raise UserError(f"encoding {given}: no such encoding of text") from error
    if name == "utf-8":
        return "utf-8-sig"  # reads files with and without a mark
    if mark == "utf-8-sig" or (not name.startswith("utf") and _is_utf8(sample)):
        raise UserError(f"{address}: encoding {given}, but the file is UTF-8; leave out encoding")
    return given


@contextmanager
def opened(path: Path, encoding: str, address: str) -> Iterator[TextIO]:
    """Open a file of text; line ends stay as they are.

    Raises:
        UserError: the file is of another encoding.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield file
    except UnicodeError as error:
        raise UserError(_refusal(path, encoding, address)) from error


class Letters:
    """Tell from the letters of the texts whether the encoding, which the user gave, is another."""

    def __init__(self, path: Path, encoding: str, address: str):
        self._path, self._encoding, self._address = path, encoding, address
        self._judged = not codecs.lookup(encoding).name.startswith("utf")
        self._accented = self._latin = self._other = self._joined = 0

    def check(self, texts: list[str | None]) -> None:
        """Raise a UserError if the texts so far cannot be of this encoding.

        Accents are on less than a quarter of the letters of any language that is written with
        Latin letters, and no word mixes them with Cyrillic or Greek ones.
        """
        if not self._judged:
            return
        text = "\n".join(filter(None, texts))
        self._accented += len(_ACCENTED.findall(text))
        self._latin += len(_LATIN.findall(text))
        self._other += len(_OTHER.findall(text))
        self._joined += len(_JOINED.findall(text))
        accents = self._accented > max(_FEWEST, self._latin)
        if accents or self._joined > max(_FEWEST, self._other / 2):
            with self._path.open("rb") as file:
                proposal = _proposal(file.read(SAMPLE))
            raise UserError(
                f"{self._address}: encoding {self._encoding} makes no words of it, such as"
                f" {_words(text)!r}; {proposal}"
            )


def _utf16(sample: bytes) -> str | None:
    """Return the UTF-16 without a mark that a file is in: every other byte of ASCII is NUL."""
    for name, high, low in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
        zeros, others = sample[high::2].count(0), sample[low::2].count(0)
        if zeros > len(sample) / 10 and zeros > 10 * others:
            return name
    return None


def _is_utf8(sample: bytes) -> bool:
    """Return whether there are characters beyond ASCII, all in UTF-8."""
    try:
        # a character may be cut at the end
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeError:
        return False
    return not text.isascii()


def _refusal(path: Path, encoding: str, address: str) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                byte = line[error.start]
                sample = line + file.read(SAMPLE)
                return (
                    f"{address}: line {number}: byte 0x{byte:02x} is not {error.encoding};"
                    f" {_proposal(sample)}"
                )
            except UnicodeError:  # lines of UTF-16 cannot be decoded one by one
                break
    return f"{address}: not {encoding}; set encoding to that of the file"


def _proposal(sample: bytes) -> str:
    guess = from_bytes(sample).best()
    if guess is None:
        return "set encoding to that of the file"
    return f"set encoding, perhaps to {guess.encoding}, which reads {_words(str(guess))!r}"


def _words(text: str) -> str:
    """Return some words that hold a character beyond ASCII."""
    words = re.findall(r"\S*[^\x00-\x7f]\S*", text)
    return " ".join(words[:3])[:60]
