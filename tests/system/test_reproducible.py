"""The model has the same bytes on other processors, emulated by disabling features."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sentiment.model_file import MODEL_FILE
from tests.conftest import REPO, Trained

# features of this processor that NumPy uses beyond its baseline
FEATURES = " ".join(
    feature
    for feature in np._core._multiarray_umath.__cpu_dispatch__
    if np._core._multiarray_umath.__cpu_features__.get(feature)
)
PROCESSORS = {
    "one core": {},
    "without NumPy's optional features": {"NPY_DISABLE_CPU_FEATURES": FEATURES},
    "with the oldest kernels of OpenBLAS": {"OPENBLAS_CORETYPE": "Prescott"},
    "without the C library's optional features": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable"
    },
}


def train(
    trained: Trained, output: Path, prefix: Sequence[str] = (), **environment: str
) -> dict[str, bytes]:
    """Run the stages from count to train; return all files of the search and the model."""
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


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset (util-linux)")
def test_model_bytes_equal_on_other_processors(trained, tmp_path):
    here = train(trained, tmp_path / "here")
    for name, environment in PROCESSORS.items():
        there = train(trained, tmp_path / name, ["taskset", "-c", "0"], **environment)
        assert there == here, name
    assert f"model/{MODEL_FILE}" in here


@pytest.mark.skipif(not FEATURES, reason="NumPy uses only its baseline on this processor")
def test_numpy_results_differ_between_processors():
    """Check that the settings above change the last digits of NumPy's own results.

    Which setting does depends on the processor: without AVX-512 NumPy calls the C library.
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
