"""A copy of manifests/ outside git with the images of this cluster.

The tree stays as it is committed: images are tagged with the commit, and a changed tree has none.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.io.files import replacing_directory
from deploy import overlay
from tools.cluster.versions import ROOT

SOURCE = ROOT / "manifests"
OVERLAY = "overlays/local"
# kustomizations that name images, beside the templates of the overlays
NAMING = ("monitoring/receiver", "monitoring/plain", "kind/s3")
SERVICES = "monitoring/receiver/services.yaml"
EXAMPLE_BUCKET = "sentiment-data-example"  # in SERVICES, until people have written their own
BUCKET = "data"  # in the cluster's S3, which creates it on the first write
ADDED = "added"  # the component
FILE = "kustomization.yaml"


def copy(folder: Path, images: Mapping[str, str], component: Path | None) -> Path:
    """Write the copy and return the folder of its overlay.

    ``images`` has NAME:TAG or NAME@DIGEST by the names that manifests use. ``component`` is the
    folder of a kustomize component for the overlay. The predictors that the overlays of an earlier
    copy serve stay. A service whose bucket is that of the example has one in the cluster's S3.
    """
    served = {
        each.parent.name: each.read_text() for each in folder.glob(f"overlays/*/{overlay.FILE}")
    }
    with replacing_directory(folder) as partial:
        shutil.copytree(SOURCE, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.env"))
        templates = sorted(partial.glob(f"overlays/*/{overlay.TEMPLATE}"))
        for template in templates:
            if text := served.get(template.parent.name):
                (template.parent / overlay.FILE).write_text(text)
        for naming in (*templates, *(partial / name for name in NAMING)):
            entries = {each["name"]: each for each in read(naming).get("images", [])}
            entries |= {each: _image(each, images[each]) for each in _named(naming, images)}
            change(naming, images=[*entries.values()])
        services = partial / SERVICES
        services.write_text(services.read_text().replace(EXAMPLE_BUCKET, BUCKET))
        if component is not None:
            shutil.copytree(component, partial / ADDED)
            template = partial / OVERLAY / overlay.TEMPLATE
            components = [os.path.relpath(partial / ADDED, template)]
            change(template, components=[*read(template).get("components", []), *components])
    return folder / OVERLAY


def read(folder: Path) -> dict[str, Any]:
    """Return the kustomization of a folder."""
    return dict(yaml.safe_load((folder / FILE).read_text()))


def change(folder: Path, **fields: Any) -> None:
    """Replace fields of the kustomization of a folder."""
    (folder / FILE).write_text(yaml.safe_dump(read(folder) | fields, sort_keys=False))


def _named(folder: Path, images: Mapping[str, str]) -> list[str]:
    """Return the images of ``images`` that a kustomization, or a file beside it, names."""
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.yaml")))
    return [name for name in images if f"image: {name}\n" in text or f"name: {name}\n" in text]


def _image(name: str, reference: str) -> dict[str, str]:
    """Return an entry of `images`; where a reference has tag and digest, the digest counts."""
    new, _, digest = reference.partition("@")
    repository, colon, tag = new.rpartition(":")
    tagged = bool(colon) and "/" not in tag
    entry = {"name": name, "newName": repository if tagged else new}
    return entry | ({"digest": digest} if digest else {"newTag": tag})
