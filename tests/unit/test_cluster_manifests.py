"""The copy of manifests/ for one cluster."""

import shutil
from pathlib import Path

import pytest

from tools.cluster import manifests

IMAGES = {
    name: f"localhost:5001/{name}@sha256:{'a' * 64}"
    for name in ("sentiment-serve", "sentiment-train", "sentiment-receiver")
}


def images_of(folder: Path) -> dict[str, str]:
    found = manifests.read(folder)["images"]
    return {each["name"]: f"{each['newName']}@{each.get('digest')}" for each in found}


@pytest.fixture
def airline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a second overlay, with an image of its own, in a copy of manifests/."""
    source = Path(shutil.copytree(manifests.SOURCE, tmp_path / "source"))
    monkeypatch.setattr(manifests, "SOURCE", source)
    folder = Path(shutil.copytree(source / "overlays/local", source / "overlays/airline"))
    added = {"name": "theirs", "newName": "registry.example.org/theirs", "digest": "sha256:0"}
    images = [*manifests.read(folder / "template")["images"], added]
    manifests.change(folder / "template", images=images)
    return folder


def test_each_overlay_and_the_receiver_get_the_images(airline: Path, tmp_path: Path):
    made = tmp_path / "made"
    manifests.copy(made, IMAGES, None)
    overlay = {name: IMAGES[name] for name in ("sentiment-serve", "sentiment-train")}
    assert images_of(made / "overlays/local/template") == overlay
    theirs = {"theirs": "registry.example.org/theirs@sha256:0"}
    assert images_of(made / "overlays/airline/template") == overlay | theirs
    receiver = {name: IMAGES[name] for name in ("sentiment-receiver", "sentiment-train")}
    assert images_of(made / "monitoring/receiver") == receiver


def test_what_each_overlay_serves_stays(airline: Path, tmp_path: Path):
    made = tmp_path / "made"
    manifests.copy(made, IMAGES, None)
    (made / "overlays/airline/model.yaml").write_text("served: 1\n")
    manifests.copy(made, IMAGES, None)
    assert (made / "overlays/airline/model.yaml").read_text() == "served: 1\n"
    shutil.rmtree(airline)
    manifests.copy(made, IMAGES, None)
    assert not (made / "overlays/airline").exists()


def test_services_without_a_bucket_of_their_own_get_one(airline: Path, tmp_path: Path):
    """Runs that drift starts read their requests and reviews in the cluster's S3."""
    source = manifests.SOURCE / manifests.SERVICES
    theirs = "- --param=captured=s3://theirs/captured/"
    source.write_text(f"{source.read_text()}    {theirs}\n")
    manifests.copy(tmp_path / "made", IMAGES, None)
    text = (tmp_path / "made" / manifests.SERVICES).read_text()
    assert "--param=captured=s3://data/captured/sentiment/" in text
    assert "--param=source=s3://data/reviews.parquet" in text
    assert theirs in text
