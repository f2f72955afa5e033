"""Errors of a deployment beside UserError and UnavailableError, and the retry of the latter."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from components.errors import UnavailableError

PAUSES = (1.0, 2.0, 4.0)  # seconds between attempts
# as Go words it, and so kubectl, podman and docker
NETWORK_FAILURE = re.compile(
    r"connection refused|connection reset|connection lost|broken pipe|\bEOF\b|i/o timeout"
    r"|TLS handshake timeout|context deadline exceeded|Client\.Timeout|no such host"
    r"|no route to host|network is unreachable|server misbehaving"
)

Result = TypeVar("Result")
log = logging.getLogger("deploy")


class UnfitVersionError(Exception):
    """The new version must not be served; the message says why."""


class UndecidedError(Exception):
    """The new version had too little traffic, or its metrics too little evidence, to judge it."""


def retry(work: Callable[[], Result], pauses: Sequence[float] = PAUSES) -> Result:
    """Return the result of ``work``, called again after each pause while it is unavailable.

    Raises:
        UnavailableError: the last attempt failed too.
    """
    for pause in pauses:
        try:
            return work()
        except UnavailableError as error:
            log.info("%s; next attempt in %g s", error, pause)
            time.sleep(pause)
    return work()
