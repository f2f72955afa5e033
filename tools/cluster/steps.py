"""Run steps in order, each with a line of what it did and how long that took."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.errors import UnavailableError, UserError

PRESENT = "present"
log = logging.getLogger("cluster")


@dataclass(frozen=True)
class Step:
    """``work`` does nothing that is done already, and returns a word or two of what it did."""

    name: str
    work: Callable[[], str]


def run(steps: Sequence[Step]) -> None:
    """Run the steps.

    Raises:
        UserError, UnavailableError: a step failed; the message names it.
    """
    for number, step in enumerate(steps, 1):
        where, started = f"{number}/{len(steps)} {step.name}", time.monotonic()
        log.info("%s …", where)
        try:
            did = step.work()
        except (UserError, UnavailableError) as error:
            again = "after that, the same command goes on from here"
            raise type(error)(f"step {where}: {error}; {again}") from error
        log.info("%s: %s (%.0f s)", where, did, time.monotonic() - started)
