"""Build the three images of this tree and push them to the registry that the cluster pulls from."""

import re
from pathlib import Path

from components.errors import UserError
from components.io.files import read_json, write_json
from deploy.images import IMAGES, Engine
from tools import build_images
from tools.cluster.steps import PRESENT
from tools.cluster.versions import ROOT
from tools.commands import output


def ensure(engine: Engine, base: str, record: Path) -> str:
    """Build and push the images, and write them as NAME@DIGEST to ``record``.

    Images of a clean tree that the registry has under its commit are not built again.
    """
    git = ("git", "-C", str(ROOT))
    commit = output(*git, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*").strip()
    if not commit.endswith("-dirty"):
        found = {name: engine.find(name, commit) for name in IMAGES}
        pushed = {name: image for name, image in found.items() if image}
        if len(pushed) == len(IMAGES):
            write_json(record, pushed)
            return f"{PRESENT}, of commit {commit[:12]}"
    version = re.findall(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[0]
    labels = {"VERSION": version, "COMMIT": commit, "SOURCE": ""}  # no path of this machine
    build_images.build(engine.command, [*build_images.IMAGES], base, version, labels)
    images = {name: engine.push(f"localhost/{name}:{version}", name, commit) for name in IMAGES}
    write_json(record, images)
    return f"built and pushed, of commit {commit[:12]}{commit[40:]}"


def read(record: Path) -> dict[str, str]:
    """Return the images that were pushed.

    Raises:
        UserError: none were.
    """
    if not record.exists():
        raise UserError(f"{record}: no images were pushed yet; do not give HAVE=images")
    return dict(read_json(record))
