"""The kernel gives the same bits on arm64, which QEMU emulates."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sentiment.model
import sentiment.store
from components.io import reviews
from sentiment.compiled_scores import ARRAYS, tables
from sentiment.kernel import build
from sentiment.kernel.characters import character_classes
from sentiment.model import parameters
from sentiment.parameters import Parameters
from sentiment.scores import NumpyScores
from tests.conftest import REPO

LIBRARIES = Path("/usr/aarch64-linux-gnu")  # of Debian's libc6-arm64-cross
EMULATOR = ["qemu-aarch64-static", "-L", str(LIBRARIES)]
pytestmark = pytest.mark.skipif(
    not (shutil.which(EMULATOR[0]) and LIBRARIES.exists()),
    reason="needs QEMU and the C library of arm64: make packages",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("arm64")
    path = directory / "kernel"
    target = ["-target", "aarch64-linux-gnu.2.31", "-o", str(path)]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            *build.FLAGS,
            *target,
            "tests/kernel_program.c",
            "-lm",
        ],
        check=True,
        cwd=REPO,
        env={"ZIG_GLOBAL_CACHE_DIR": str(directory), "ZIG_LOCAL_CACHE_DIR": str(directory)},
    )
    return path


def check(program: Path, found: Parameters, texts: list[str]) -> None:
    prepared = [found.tokenizer().prepare(text) for text in texts]
    simple = [text for text in prepared if isinstance(text, str)]
    arrays, numbers = tables(found)
    blocks = [*(arrays[name].tobytes() for name in ARRAYS), np.array(numbers, np.uint32).tobytes()]
    blocks += [character_classes().tobytes(), struct.pack("<q", len(simple))]
    blocks += [text.encode() for text in simple]
    given = b"".join(struct.pack("<q", len(block)) + block for block in blocks)
    lines = subprocess.run(
        [*EMULATOR, program], input=given, capture_output=True, check=True
    ).stdout.splitlines()
    expected = NumpyScores(found).of(simple)
    for line, log_odds, tokens, unknown in zip(lines, *expected, strict=True):
        counts, scores = line.split()[:2], line.split()[2:]
        assert [*map(int, counts)] == [tokens, unknown]
        assert [float.fromhex(each.decode()) for each in scores] == np.ravel(log_odds).tolist()


def test_reviews(program, trained):
    texts = reviews.read(trained.test)["text"].tolist()[:500]  # emulated, and slow
    check(program, parameters(sentiment.store.load(trained.model)), texts)


def test_three_classes(program):
    texts = ["good good film", "a bad film , not good", "gut und für", "bad and long"] * 2
    model = sentiment.model.build().fit(texts, [1, 0, 2, 0] * 2)
    check(program, parameters(model), [*texts, "", "good für " * 300])
