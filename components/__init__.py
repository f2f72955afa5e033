"""The stages: one module, one function and one command line each."""

import getpass
import os
from pathlib import Path

try:
    Path.home()
    getpass.getuser()
except (RuntimeError, KeyError):  # a container's user, unknown there; MLflow and DVC need both
    os.environ.setdefault("HOME", "/")  # as container engines set it
    os.environ.setdefault("USER", f"uid {os.getuid()}")
