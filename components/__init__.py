"""The stages: one module, one function and one command line each."""

import getpass
import os
import sys
from pathlib import Path
from types import TracebackType

try:
    Path.home()
    getpass.getuser()
except (RuntimeError, KeyError):  # a container's user, unknown there; MLflow and DVC need both
    os.environ.setdefault("HOME", "/")  # as container engines set it
    os.environ.setdefault("USER", f"uid {os.getuid()}")


def _report(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Report Ctrl-C in one line also while a stage still imports its packages, for seconds."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


if sys.excepthook is sys.__excepthook__:
    sys.excepthook = _report
