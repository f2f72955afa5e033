"""Reduce the forms of a word to one token, as a model was trained: its stem or its first letters.

Languages that inflect have many forms of a word, of which a small data set shows few.
``benchmarks/README.md`` has data sets where stems and first letters win, and where they lose.

The Snowball stemmers (Porter 2001, "Snowball: A language for stemming algorithms") are NLTK's. NLTK
is imported when a model with stems is made or loaded, and by no other model.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

from sentiment import negation
from sentiment.tokens import TOKENIZERS, Span, Tokenizer

LANGUAGES = (
    *("arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian"),
    *("italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish"),
)
FIRST = {f"first-{length}": length for length in (4, 5, 6)}
NAMES = ("", *FIRST, *LANGUAGES)  # "": tokens stay as they are
_REMEMBERED = 1 << 17  # stems, about 20 MB; the tokens of most data sets are fewer

Reduce = Callable[[str], str]


def reduced(version: int, name: str) -> Tokenizer:
    """Return the tokenizer of a version, whose tokens are reduced as ``name`` says.

    Raises:
        ValueError: ``name`` is none of ``NAMES``, or needs NLTK, which is not installed.
    """
    tokenizer = TOKENIZERS[version]
    if not name:
        return tokenizer
    reduce = reduction(name, version)
    return Tokenizer(
        partial(_prepare, tokenizer.tokenize, reduce), partial(_locate, tokenizer.locate, reduce)
    )


def _prepare(tokenize: Callable[[str], list[str]], reduce: Reduce, text: str) -> list[str]:
    return list(map(reduce, tokenize(text)))


def _locate(
    locate: Callable[[str], Iterator[tuple[str, Span]]], reduce: Reduce, text: str
) -> Iterator[tuple[str, Span]]:
    return ((reduce(token), span) for token, span in locate(text))


@lru_cache(None)  # so that all models of a process remember the same stems
def reduction(name: str, version: int) -> Reduce:
    """Return the function that reduces a token of a version; ``name`` is in ``NAMES``, and not "".

    Raises:
        ValueError: ``name`` is no such name, or needs NLTK, which is not installed.
    """
    with_marks = version >= negation.VERSION
    if name in FIRST:
        beginning = partial(_beginning, FIRST[name])
        return partial(negation.reduced, beginning) if with_marks else beginning
    if name not in LANGUAGES:
        raise ValueError(f"{name!r} is none of the stemmers {', '.join(NAMES[1:])}")
    try:
        from nltk.stem.snowball import SnowballStemmer
    except ImportError as error:
        raise ValueError(f"{name} stems need NLTK: pip install nltk") from error

    def stem(token: str) -> str:
        # A new stemmer for each token: the Arabic one remembers of one word what changes the stem
        # of the next, and threads of a server would share it. Making one takes 2 us.
        stemmed: str = SnowballStemmer(name).stem(token)
        return stemmed or token  # the Arabic stem of a mark is empty

    return _Memo(partial(negation.reduced, stem) if with_marks else stem).__getitem__


class _Memo(dict[str, str]):
    """Remembers what a function returned, in a third of the time that ``lru_cache`` takes."""

    def __init__(self, function: Reduce) -> None:
        self._function = function

    def __missing__(self, token: str) -> str:
        if len(self) >= _REMEMBERED:  # of a server that reads ever new words
            self.clear()
        found = self[token] = self._function(token)
        return found


def _beginning(length: int, token: str) -> str:
    return token[:length]
