"""Digests written into kustomizations."""

import shutil
from pathlib import Path

import pytest

from components.errors import UserError
from deploy import pin
from tests.conftest import REPO

DIGEST = "sha256:" + "a" * 64
FOLDERS = ("overlays/staging/template", "overlays/production/template", "monitoring/receiver")
NAMES = ("sentiment-serve", "sentiment-train", "sentiment-receiver")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
        found.append(Path(shutil.copy(REPO / pin.MANIFESTS / folder / pin.FILE, tmp_path / folder)))
    return found


def test_pins_named_images_only(paths: list[Path]):
    before = [path.read_text() for path in paths]
    old = [pin.pinned(path) for path in paths]
    assert [set(each) for each in old] == [set(NAMES[:2]), set(NAMES[:2]), set(NAMES[1:])]
    images = {name: f"registry.example.org/{name}@{DIGEST}" for name in NAMES}
    pin.pin(paths, images)
    assert [pin.pinned(path) for path in paths] == [{k: images[k] for k in each} for each in old]
    for path, each in zip(paths, old, strict=True):
        pin.pin([path], each)
    assert [path.read_text() for path in paths] == before


@pytest.mark.parametrize("image", ["registry.example.org/x:latest", f"{DIGEST}", "x@sha256:1"])
def test_tag_without_digest_is_refused(paths: list[Path], image: str):
    before = [path.read_text() for path in paths]
    with pytest.raises(UserError, match="is not NAME@sha256:DIGEST"):
        pin.pin(paths, {"sentiment-serve": image})
    with pytest.raises(UserError, match="no image sentiment-serving"):
        pin.pin(paths, {"sentiment-serve": f"x@{DIGEST}", "sentiment-serving": f"x@{DIGEST}"})
    with pytest.raises(UserError, match="no image sentiment-receiver"):
        pin.pin(paths[:2], {"sentiment-receiver": f"x@{DIGEST}"})
    assert [path.read_text() for path in paths] == before
