"""Check that the values of parameters are such as training gives, so that all texts get a score."""

from itertools import pairwise

import numpy as np

from sentiment import ngram_keys
from sentiment.exact import Floats
from sentiment.ngram_keys import MASK, Ints
from sentiment.parameters import Parameters

MAX_CLASSES = 1000
_MAX_NAME = 200  # characters
_NEWLINE = 10
# Within these a score is finite, whatever the text: at most 3e5 n-grams times 6.6 (the largest
# frequency) times a weight, divided by the root of a square.
_MAX_WEIGHT = 1e100
_SQUARES = (1e-300, 1e200)  # or 0


def check(parameters: Parameters, max_n: object) -> None:
    """Check all values; dtypes and shapes already are those of :class:`Parameters`.

    Raises:
        ValueError: a value is none that training gives; the message names the field of the file.
    """
    _check_keys(parameters.keys, max_n, _check_tokens(parameters))
    _check_names(parameters.names)
    weights, squares, intercept = parameters.linear
    _check_weights("weights_", weights)
    _check_weights("intercept_", np.asarray(intercept))
    low, high = _SQUARES
    if not ((squares == 0) | (squares >= low) & (squares <= high)).all():
        raise ValueError(f"squares_: not all are 0, or from {low:g} to {high:g}")


def _check_tokens(parameters: Parameters) -> int:
    """Return the number of tokens."""
    count = int(np.count_nonzero(parameters.tokens == _NEWLINE)) + 1
    if count > MASK:  # before a string is made of each
        raise ValueError(f"tokens: {count}, and {MASK} are possible")
    try:
        tokens = ngram_keys.unpack(parameters.tokens)
    except UnicodeDecodeError as error:
        raise ValueError(f"tokens: {error}") from error
    if not tokens[0] or any(before >= after for before, after in pairwise(tokens)):
        raise ValueError("tokens: an empty one, one there twice, or not sorted")
    return count


def _check_keys(keys: Ints, max_n: object, tokens: int) -> None:
    if type(max_n) is not int or not 1 <= max_n <= ngram_keys.MAX_N:
        raise ValueError(f"max_n: {max_n!r:.50}, and 1 to {ngram_keys.MAX_N} are possible")
    if keys[0] <= 0 or (keys[1:] <= keys[:-1]).any():
        raise ValueError("keys_: not positive and ascending")
    first, second, third = ngram_keys.parts(keys)
    if (first == 0).any() or ((second == 0) & (third > 0)).any():
        raise ValueError("keys_: an n-gram lacks a token before its last")
    if max(part.max() for part in (first, second, third)) > tokens:
        raise ValueError(f"keys_: a token above {tokens}, the number of tokens")
    longest = 3 if third.any() else 2 if second.any() else 1
    if longest > max_n:
        raise ValueError(f"keys_: an n-gram of {longest} tokens, and max_n is {max_n}")


def _check_names(names: tuple[str, ...]) -> None:
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) < len(names):
        raise ValueError("names_: a class there twice, fewer than two classes, or too many")
    for name in names:
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise ValueError(f"names_: {name!r:.50} is no name of a class")


def _check_weights(field: str, values: Floats) -> None:
    if not (np.abs(values) <= _MAX_WEIGHT).all():  # NaN is not
        raise ValueError(f"{field}: not all are finite numbers up to {_MAX_WEIGHT:g}")
