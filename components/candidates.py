"""Candidates of a search: what they set, and what is found of them."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from components.arguments import count, halves, positive
from components.errors import UserError
from components.io.files import read_json

Candidate = dict[str, Any]
# what a candidate leaves out is as here; max_n: all that merge has
DEFAULTS: Candidate = {"alpha": 1.0, "idf_power": 1.5, "max_n": 3, "ratio_power": 0.5}
_KINDS: dict[str, Callable[[str], Any]] = {
    "alpha": positive,
    "idf_power": halves,
    "max_n": count,
    "ratio_power": halves,
}


def candidate(text: str) -> Candidate:
    """Parse ``idf_power=1,max_n=2``; ``default`` sets nothing."""
    found = dict(DEFAULTS)
    for setting in text.split(",") if text != "default" else []:
        name, _, value = setting.strip().partition("=")
        if name not in _KINDS:
            raise ArgumentTypeError(f"{setting} sets none of {', '.join(_KINDS)}")
        try:
            found[name] = _KINDS[name](value)
        except ValueError:
            raise ArgumentTypeError(f"{setting} is not a number") from None
    return found


def name(candidate: Candidate) -> str:
    """Return the text that :func:`candidate` parses."""
    return ",".join(f"{key}={value:g}" for key, value in sorted(candidate.items()))


def difference(candidate: Candidate) -> str:
    """Return what sets a candidate apart from the default, in the form of its name."""
    changed = {key: value for key, value in candidate.items() if value != DEFAULTS[key]}
    return name(changed) or "default"


def trials(directories: Iterable[Path]) -> list[dict[str, Any]]:
    """Return what trial found in all ``directories``, in the order of :func:`ranked`."""
    found = [
        read_json(path) for directory in directories for path in sorted(directory.glob("*.json"))
    ]
    for each in found:
        each.pop("code_digest", None)  # for trial alone: a comment changes it, and no result
    if not found:
        raise UserError(f"{', '.join(map(str, directories))}: no trials in it")
    return ranked(found)


def ranked(trials: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trials, the best of the largest budget first.

    Raises:
        UserError: they are not of the same reviews.
    """
    found = sorted(trials, key=_rank)
    if len({each["data_digest"] for each in found}) > 1:
        raise UserError("the trials are not of the same reviews; run them again")
    return found


def _rank(trial: dict[str, Any]) -> tuple[float, float, str]:
    """Log loss sees differences that accuracy rounds away; of equals, the simpler name."""
    return -trial["budget"], trial["valid"]["log_loss"], name(trial["candidate"])
