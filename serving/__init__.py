"""The KServe predictor: the champion behind HTTP and gRPC."""

import os
from pathlib import Path

try:
    Path.home()
except RuntimeError:  # no HOME, and no name of the user: MLflow could not be imported
    os.environ.setdefault("HOME", "/")  # as container engines set it
