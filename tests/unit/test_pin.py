"""Digests written into a kustomization, and nothing else of it."""

import shutil
from pathlib import Path

import pytest

from components.errors import StageError
from pipelines import pin
from tests.conftest import REPO

DIGEST = "sha256:" + "a" * 64


@pytest.fixture(params=["staging", "production"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(REPO / pin.OVERLAYS / request.param / pin.FILE, tmp_path))


def test_an_image_is_pinned_and_the_rest_stays(path: Path):
    before = path.read_text()
    old = pin.pinned(path)
    assert set(old) == {"sentiment-serve", "sentiment-train"}
    image = f"registry.example.org/sentiment-serve@{DIGEST}"
    pin.pin(path, {"sentiment-serve": image})
    assert pin.pinned(path) == old | {"sentiment-serve": image}
    pin.pin(path, old)
    assert path.read_text() == before


@pytest.mark.parametrize("image", ["registry.example.org/x:latest", f"{DIGEST}", "x@sha256:1"])
def test_a_tag_is_refused(path: Path, image: str):
    before = path.read_text()
    with pytest.raises(StageError, match="is not NAME@sha256:DIGEST"):
        pin.pin(path, {"sentiment-serve": image})
    with pytest.raises(StageError, match="no image sentiment-serving"):
        pin.pin(path, {"sentiment-serving": f"x@{DIGEST}"})
    assert path.read_text() == before
