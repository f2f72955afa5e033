"""The same bytes on another processor, as far as one machine can play another."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sentiment.store import MODEL_FILE
from tests.conftest import REPO, Trained

# what NumPy would use of this processor beyond what it needs of any
FEATURES = " ".join(
    feature
    for feature in np._core._multiarray_umath.__cpu_dispatch__
    if np._core._multiarray_umath.__cpu_features__.get(feature)
)
PROCESSORS = {
    "one core": {},
    "without what NumPy finds": {"NPY_DISABLE_CPU_FEATURES": FEATURES},
    "with the oldest kernels of OpenBLAS": {"OPENBLAS_CORETYPE": "Prescott"},
    "without what the C library finds": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable"
    },
}


def train(
    trained: Trained, output: Path, prefix: Sequence[str] = (), **environment: str
) -> dict[str, bytes]:
    """Run the stages from count to train and return all files of the search and of the model."""
    counts, matrix, trials, selection, model = (
        output / name for name in ("counts", "matrix", "trials", "selection.json", "model")
    )
    for command in (
        ["count", "--train", trained.train, "--valid", trained.valid, "--counts", counts],
        ["merge", "--counts", counts, "--matrix", matrix],
        ["trial", "--matrix", matrix, "--candidates", "default", "--trials", trials],
        ["select", "--trials", trials, "--selection", selection],
        ["train", "--matrix", matrix, "--selections", selection, "--model", model],
    ):
        stage = [f"components.{command[0]}", *map(str, command[1:])]
        environment = dict(os.environ) | environment
        subprocess.run(
            [*prefix, sys.executable, "-m", *stage], check=True, cwd=REPO, env=environment
        )
    files = [selection, *trials.iterdir(), *model.iterdir()]
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset (util-linux) is not here")
def test_the_model_is_the_same_on_a_processor_that_plays_another(trained, tmp_path):
    here = train(trained, tmp_path / "here")
    for name, environment in PROCESSORS.items():
        there = train(trained, tmp_path / name, ["taskset", "-c", "0"], **environment)
        assert there == here, name
    assert f"model/{MODEL_FILE}" in here


@pytest.mark.skipif(not FEATURES, reason="NumPy uses nothing of this processor but its baseline")
def test_numpy_alone_would_differ():
    """The control: what the test above switches off does change last digits elsewhere.

    Which of the switches does it, depends: without AVX-512 NumPy asks the C library.
    """
    program = "import numpy as np; print(np.exp(np.linspace(-5, 5, 10007)).tobytes().hex())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | environment,
            check=True,
            capture_output=True,
        ).stdout
        for environment in PROCESSORS.values()
    }
    assert len(outputs) > 1
