"""What a stage says when it cannot go on: one line, and exit code 1."""

import logging
import sys
from collections.abc import Callable


class StageError(Exception):
    """A fault that the caller can mend; the message names the file, field or flag."""


def run(stage: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` as the body of a command line and return the exit code.

    Progress and errors go to standard error. Any other exception is a defect of ours, and keeps
    its traceback.
    """
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger(stage).setLevel(logging.INFO)
    try:
        return work() or 0
    except (StageError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"{stage}: error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{stage}: interrupted", file=sys.stderr)
        return 130
