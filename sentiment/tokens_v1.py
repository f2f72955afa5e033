"""The first version of the tokens, for models that were trained with them.

A token is a run of letters, digits and underscores in lower case, or a single other character
that is not white space. HTML tags such as ``<br />`` are removed, and nothing else is changed.
"""

import re
from collections.abc import Iterator

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_TOKEN = re.compile(r"\w+|[^\w\s]")


def prepare(text: str) -> str:
    """Return the text in which the tokens are the matches of ``_TOKEN``."""
    return _TAG.sub(" ", text).lower()


def locate(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each token of a prepared text with its span in ``text``."""
    positions: list[int] = []  # in ``text``, of each character of the cleaned text
    end = 0
    for tag in _TAG.finditer(text):
        positions.extend(range(end, tag.start() + 1))  # with the space that replaces the tag
        end = tag.end()
    positions.extend(range(end, len(text)))
    cleaned = _TAG.sub(" ", text)
    lowered = cleaned.lower()
    if len(lowered) > len(cleaned):  # İ in lower case is two characters
        positions = [
            position
            for position, character in zip(positions, cleaned, strict=True)
            for _ in character.lower()
        ]
    for token in _TOKEN.finditer(lowered):
        yield token[0], (positions[token.start()], positions[token.end() - 1] + 1)
