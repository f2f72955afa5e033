"""Text to tokens: the one place where text is cleaned, for training and for serving.

A token is a run of letters, digits and underscores in lower case, or a single other mark;
mark-up such as ``<br />`` goes. What was measured and left out stands in
``benchmarks/README.md``.
"""

import re

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_TOKEN = re.compile(r"\w+|[^\w\s]")

Span = tuple[int, int]  # start and end in a text, in code points; the end is not part of it


def tokenize(text: str) -> list[str]:
    return _TOKEN.findall(_TAG.sub(" ", text).lower())


def locate(text: str) -> list[tuple[str, Span]]:
    """Return each token of :func:`tokenize` with its span in ``text``."""
    places: list[int] = []  # of each character of the cleaned text, where it is in ``text``
    end = 0
    for tag in _TAG.finditer(text):
        places.extend(range(end, tag.start() + 1))  # the last one is of the space in its stead
        end = tag.end()
    places.extend(range(end, len(text)))
    cleaned = _TAG.sub(" ", text)
    lowered = cleaned.lower()
    if len(lowered) > len(cleaned):  # there is an İ, in lower case two characters
        places = [
            place
            for place, character in zip(places, cleaned, strict=True)
            for _ in character.lower()
        ]
    return [
        (token[0], (places[token.start()], places[token.end() - 1] + 1))
        for token in _TOKEN.finditer(lowered)
    ]
