"""The body of every command line: progress and errors on standard error, and the exit code."""

import logging
import sys
from collections.abc import Callable

from components.errors import UnavailableError, UserError


def run(command: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` as the body of a command line and return the exit code.

    An error of the user or of the environment is one line. Any other exception is a defect of
    this code and keeps its traceback.
    """
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger(command).setLevel(logging.INFO)
    try:
        return work() or 0
    except (UserError, UnavailableError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"{command}: error: {message}", file=sys.stderr)
        return getattr(error, "exit_code", UserError.exit_code)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 130
