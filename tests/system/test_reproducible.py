"""The same bytes on another processor, as far as one machine can play another."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

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


def candidates(trained: Trained, output, prefix=(), **environment: str) -> dict[str, bytes]:
    arguments = ["--train", trained.train, "--valid", trained.valid, "--candidates", output]
    subprocess.run(
        [*prefix, sys.executable, "-m", "components.train", *map(str, arguments)],
        check=True,
        cwd=REPO,
        env=os.environ | environment,
    )
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*.skops")}


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset (util-linux) is not here")
def test_the_model_is_the_same_on_a_processor_that_plays_another(trained, tmp_path):
    here = candidates(trained, tmp_path / "here")
    assert here
    for name, environment in PROCESSORS.items():
        there = candidates(trained, tmp_path / name, ["taskset", "-c", "0"], **environment)
        assert there == here, name


@pytest.mark.skipif(not FEATURES, reason="NumPy uses nothing of this processor but its baseline")
def test_numpy_alone_would_differ():
    """The control: what the test above switches off does change last digits elsewhere."""
    program = "import numpy as np; print(np.exp(np.linspace(-5, 5, 10007)).tobytes().hex())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | environment,
            check=True,
            capture_output=True,
        ).stdout
        for environment in ({}, PROCESSORS["without what NumPy finds"])
    }
    assert len(outputs) == 2
