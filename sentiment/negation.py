"""Mark the words that a negation turns, so that "not good" does not count as "good".

After *not*, *never* or a verb with *n't*, the next three words that carry meaning are marked: "it
is not a good film" has the tokens ``not_good`` and ``not_film`` instead of ``good`` and ``film``.
Punctuation, *but* and the next negation end the scope. *n't* is written out, so that "isn't" and
"is not" are the same tokens. The scope is that of Das and Chen 2001, "Yahoo! for Amazon", made
short: on long reviews a whole clause costs accuracy (``benchmarks/README.md``).

The weight of a marked word is minus that of the word (:func:`opposites`): "not dreadful" is praise
even if no training text has it. Longer n-grams of marked words have weights of their own.

The words are English. Texts of other languages hardly have them, and stay as they are.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from sentiment import ngram_keys
from sentiment.characters import MARKS, UNSPACED
from sentiment.kernel.library import load
from sentiment.kernel.marking import Kinds, Marker
from sentiment.ngram_keys import BITS, Ints

VERSION = 3  # of the tokens, the first with marks
MARK = "not_"
_WORDS = 3  # marked after a negation


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# what is before "n't"; without the apostrophe, "dont" is a word of French
_VERBS = _words("ai are could did do does had has have is might must need should was were would")
_IRREGULAR = {"can": "ca", "shall": "sha", "will": "wo"}
# words without a meaning that can be turned: they are neither marked nor counted
_FUNCTION = _words(
    "a all am an and any are as at be been being can could did do does for had has have he her his"
    " i in is it its just me much my of on one our quite really she should so that the their them"
    " these they this those to too very was we were will with would you your"
)
_LIMITS = _words("but because although though not never cannot")
_ENDS = _LIMITS | {f"{verb}n't" for verb in (*_VERBS, *_IRREGULAR.values())}
_ADDITION = _words("just merely only simply")  # "not only good" is praise

Edit = tuple[int, int, str]  # start, end (exclusive) and replacement


class _Patterns(NamedTuple):
    """``negation`` matches from its first n on, and ``word`` a word or what ends a scope.

    A match of ``negation`` has a group, named by the verb, if the verb must be written out, too.
    """

    negation: re.Pattern[str]
    word: re.Pattern[str]


def _patterns(part_of_word: str, word: str) -> _Patterns:
    def whole(*words: str) -> str:
        return "|".join(rf"(?<=(?<!\w){word})" for word in words)

    named = {"cannot": whole("cannot")}
    named |= {verb: whole(short + "n't") for verb, short in _IRREGULAR.items()}
    kinds = [
        whole("not", "never", *(f"{verb}n't" for verb in sorted(_VERBS))),
        *(f"(?P<{name}>{pattern})" for name, pattern in named.items()),
    ]
    # the end comes first, and the whole word after it: re finds a literal fastest
    negation = rf"n(?:ot|ever|'t)(?!{part_of_word})(?:{'|'.join(kinds)})"
    word_or_end = rf"{word}(?:(?<=n)'t(?!{part_of_word}))?|[.,;:!?()\"]"
    return _Patterns(re.compile(negation), re.compile(word_or_end))


_SIMPLE = _patterns(r"\w", r"\w+")
_WITH_MARKS = _patterns(rf"[\w{MARKS}]", rf"(?:[^\W{UNSPACED}][{MARKS}]*)+")
_A_MARK = re.compile(f"[{MARKS}]")


class Opposites(NamedTuple):
    """The columns of the marked words, and those of the same words without the mark."""

    marked: Ints
    plain: Ints


NO_OPPOSITES = Opposites(np.empty(0, np.int64), np.empty(0, np.int64))


def edits(text: str, simple: bool = True) -> Iterator[Edit]:
    """Yield what to change in a text in lower case, in its order and without overlaps.

    ``simple`` is the result of :func:`sentiment.characters.is_simple`. A token begins in the
    changed text where an edit begins, and ends before it.
    """
    patterns = _SIMPLE if simple else _WITH_MARKS
    for match in patterns.negation.finditer(text):
        start, end = match.span()
        verb = match.lastgroup
        if not simple and _follows_marks(text, start):
            continue
        if verb == "cannot":
            yield start, start, " "
        elif verb is not None:  # the n belongs to the verb: can't, won't
            yield start - len(_IRREGULAR[verb]), start + 1, verb
            yield start + 1, end, " not"
        elif match[0] not in ("not", "never"):
            yield start, end, " not"
        for word in _scope(patterns.word, text, end):
            yield word, word, MARK


def _follows_marks(text: str, at: int) -> bool:
    """Tell whether the letters before ``at`` follow a letter with combining marks."""
    while at and text[at - 1].isalnum():
        at -= 1
    with_marks = at
    while at and _A_MARK.match(text, at - 1):
        at -= 1
    return 0 < at < with_marks and (text[at - 1].isalnum() or text[at - 1] == "_")


def _scope(words: re.Pattern[str], text: str, start: int) -> list[int]:
    """Return where the words begin that a negation before ``start`` turns.

    The next negation ends them, so that no word is turned twice.
    """
    found: list[int] = []
    for number, match in enumerate(words.finditer(text, start)):
        word = match[0]
        if word in _ENDS or (number == 0 and word in _ADDITION) or not word[0].isalnum():
            break
        if is_turned(word):
            found.append(match.start())
            if len(found) == _WORDS:
                break
    return found


def is_turned(word: str) -> bool:
    """Tell whether a negation before a word marks it."""
    return word not in _FUNCTION and word[0].isalpha() and word not in _ENDS


def marked(text: str, simple: bool = True) -> str:
    """Return a text in lower case with its negations written out and their words marked.

    ``simple`` is that of :func:`edits`; a simple text stays simple.
    """
    compiled = _compiled() if text.isascii() else None
    return compiled.marked(text) if compiled else changed(text, edits(text, simple))


def changed(text: str, changes: Iterable[Edit]) -> str:
    """Return a text with all edits made."""
    pieces, done = list[str](), 0
    for start, end, replacement in changes:
        pieces += [text[done:start], replacement]
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


@cache
def _compiled() -> Marker | None:
    """Return the compiled function, None where the kernel is not compiled."""
    library = load()
    return Marker(library, kinds()) if library else None


def kinds() -> dict[str, Kinds]:
    """Return what each word is that the kernel must know."""
    verbs = {verb: verb for verb in _VERBS} | {short: verb for verb, short in _IRREGULAR.items()}
    return {
        word: Kinds(word in _FUNCTION, word in _LIMITS, word in _ADDITION, verbs.get(word))
        for word in (*_FUNCTION, *_LIMITS, *_ADDITION, *verbs)
    }


def reduced(reduce: Callable[[str], str], token: str) -> str:
    """Return a token reduced, such as to its stem; its mark stays."""
    if token.startswith(MARK) and len(token) > len(MARK):
        return MARK + reduce(token[len(MARK) :])
    return reduce(token)


def missing(frequencies: Mapping[str, int]) -> dict[str, int]:
    """Return the marked word of each word in ``frequencies`` that has none, with its frequency.

    There are none if no word is marked, as in other languages.
    """
    if not any(token.startswith(MARK) for token in frequencies):
        return {}
    return {
        MARK + token: frequency
        for token, frequency in frequencies.items()
        if is_turned(token) and not token.startswith(MARK) and MARK + token not in frequencies
    }


def opposites(tokens: Iterable[str], keys: Ints) -> Opposites:
    """Return the columns of marked words whose plain word has one; ``keys`` are sorted.

    A word that a writer has marked, and then a negation once more, has a weight of its own.
    """
    index = ngram_keys.numbers(tokens)
    pairs = [
        (number, index[plain])
        for token, number in index.items()
        if token.startswith(MARK)
        and not (plain := token.removeprefix(MARK)).startswith(MARK)
        and plain in index
    ]
    numbers = np.array(pairs, np.int64).reshape(-1, 2)
    columns = ngram_keys.positions(numbers.ravel() << 2 * BITS, keys).reshape(-1, 2)
    return Opposites(*columns[(columns >= 0).all(axis=1)].T)
