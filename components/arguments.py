"""Types for command lines: a value out of range is a usage error that names its flag."""

from argparse import ArgumentTypeError


def fraction(text: str) -> float:
    """Parse a number strictly between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def share(text: str) -> float:
    """Parse a number above 0 and up to 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not a positive number")
    return value


def count(text: str) -> int:
    """Parse a whole number from 1 up; Kubeflow writes some as 4.0."""
    value = float(text)
    if value < 1 or not value.is_integer():
        raise ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(value)


def halves(text: str) -> float:
    """Parse 0, 0.5, 1, 1.5, …, the powers that :mod:`sentiment.exact` can take."""
    value = float(text)
    if value < 0 or not (2 * value).is_integer():
        raise ArgumentTypeError(f"{text} is not 0, 0.5, 1, 1.5 or another multiple of one half")
    return value


def port(text: str) -> int:
    """Parse a port that can be listened on and told to others."""
    value = int(text)
    if not 0 < value < 65_536:
        raise ArgumentTypeError(f"{text} is not a port from 1 to 65535")
    return value
