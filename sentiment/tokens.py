"""Split text into tokens, in the same way for training and serving.

A token is a run of letters, digits and underscores in lower case with their combining marks, or a
single other character that is not white space. HTML tags such as ``<br />`` are removed. In scripts
that are written without spaces (Thai, Lao, Burmese, Khmer, Han, Kana) each character is a token, so
that n-grams of tokens are n-grams of characters. ``benchmarks/README.md`` has the figures of other
tokens that were tried.

Quotes and apostrophes are those of a keyboard, invisible characters are removed, and tokens are in
NFC, so that none of these changes what a text says. NFKC would change what a text says: 1½ to
11/2. Without its joiners, an emoji of a family is the emoji of its members, and their n-gram. The
non-joiner of Persian stands between parts of one word, which many people write without it.

The third version of the tokens marks the words that a negation turns (:mod:`sentiment.negation`);
the second does not. A model is always used with the version of the tokens that it was trained with.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from sentiment import negation, tokens_v1
from sentiment.characters import MARKS, REMOVED, UNSPACED, is_simple, plain

Span = tuple[int, int]  # start and end (exclusive) in a text, in code points

# a text that `_SIMPLE` splits into tokens, or else the list of its tokens
Prepared = str | list[str]


class Tokenizer(NamedTuple):
    """``prepare`` returns what :func:`split` takes, ``locate`` yields tokens with spans."""

    prepare: Callable[[str], Prepared]
    locate: Callable[[str], Iterator[tuple[str, Span]]]

    def tokenize(self, text: str) -> list[str]:
        return split(self.prepare(text))


_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_SIMPLE = re.compile(r"\w+|[^\w\s]")
_LETTERS = rf"[^\W{UNSPACED}]+"
# Most characters are below U+0300, and to compare them with all marks is slow. No language has 30
# marks in a row; the time in which NFC sorts marks is quadratic, 20 s for 100,000 of them.
_MARKS = rf"(?:(?![\0-\u02ff])[{MARKS}]{{1,30}})"
_TOKEN = re.compile(
    rf"{_LETTERS}(?:{_MARKS}{_LETTERS})*{_MARKS}?|[{UNSPACED}]{_MARKS}?|{_MARKS}|[^\w\s]{_MARKS}?"
)


def split(prepared: Prepared) -> list[str]:
    """Return the tokens of a text that a :class:`Tokenizer` has prepared."""
    return _SIMPLE.findall(prepared) if isinstance(prepared, str) else prepared


def prepare(text: str) -> Prepared:
    shown, simple = _shown(_TAG.sub(" ", plain(text)).lower())
    marked = negation.marked(shown, simple)
    return marked if simple else _composed(_TOKEN.findall(marked), marked)


def prepare_v2(text: str) -> Prepared:
    shown, simple = _shown(_TAG.sub(" ", plain(text)).lower())
    return shown if simple else _composed(_TOKEN.findall(shown), shown)


def tokenize(text: str) -> list[str]:
    return split(prepare(text))


def locate(text: str) -> Iterator[tuple[str, Span]]:
    """Yield each token of :func:`tokenize` with its span in ``text``."""
    shown, positions = _shown_positions(text)
    written, begin, done = "", 0, 0  # what the last edit wrote, and what it replaced
    edits = negation.edits(shown, is_simple(shown))
    for start, end, replacement in chain(edits, [(len(shown), len(shown), "")]):
        of_written = [*[begin] * (len(written) - 1), max(begin, done - 1)] if written else []
        where = [positions[each] for each in (*of_written, *range(done, start))]
        yield from _located(written + shown[done:start], where)
        written, begin, done = replacement, start, end


def locate_v2(text: str) -> Iterator[tuple[str, Span]]:
    yield from _located(*_shown_positions(text))


def _shown(lowered: str) -> tuple[str, bool]:
    """Return a text without its invisible characters, and whether it is simple."""
    if is_simple(lowered):
        return lowered, True
    shown = REMOVED.sub("", lowered)
    return shown, is_simple(shown)


def _shown_positions(text: str) -> tuple[str, Sequence[int]]:
    """Return a text in lower case as it is shown, and where each of its characters is in it."""
    lowered = _TAG.sub(_blanks, plain(text)).lower()  # as long as ``text``
    if is_simple(lowered):
        return lowered, range(len(lowered))
    kept = REMOVED.split(lowered)  # each match is one character
    shown = "".join(kept)
    if len(kept) == 1:
        return shown, range(len(shown))
    removed_before = np.repeat(np.arange(len(kept)), [*map(len, kept)])
    return shown, (np.arange(len(shown)) + removed_before).tolist()


def _located(shown: str, positions: Sequence[int]) -> Iterator[tuple[str, Span]]:
    pattern = _SIMPLE if is_simple(shown) else _TOKEN  # equal in a simple text, and faster
    composed = unicodedata.is_normalized("NFC", shown)
    for match in pattern.finditer(shown):
        start, end = match.span()
        token = match[0] if composed else unicodedata.normalize("NFC", match[0])
        yield token, (positions[start], positions[end - 1] + 1)


def _blanks(tag: re.Match[str]) -> str:
    return " " * len(tag[0])


def _composed(tokens: list[str], text: str) -> list[str]:
    """Return the tokens of a text in NFC."""
    if unicodedata.is_normalized("NFC", text):
        return tokens
    return [unicodedata.normalize("NFC", token) for token in tokens]


CURRENT = 3
TOKENIZERS = {
    1: Tokenizer(tokens_v1.prepare, tokens_v1.locate),
    2: Tokenizer(prepare_v2, locate_v2),
    CURRENT: Tokenizer(prepare, locate),
}
