"""Write image digests into kustomizations, or print those that are there.

Of an overlay it is the template that names images: the predictors that are served keep theirs.

It imports nothing outside Python's own library, as the job that may write to the repository
installs nothing.
"""

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from components import cli
from components.errors import UserError
from components.io.files import read_json, replacing

MANIFESTS = Path("manifests")
FILE = "kustomization.yaml"
ENTRY = re.compile(
    r"^(?P<head>  - name: (?P<name>[\w-]+)\n    newName: )(?P<new>\S+)"
    r"(?P<between>\n    digest: )(?P<digest>sha256:[0-9a-f]{64})$",
    re.MULTILINE,
)
IMAGE = re.compile(r"(?P<new>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")

log = logging.getLogger("pin")


def pinned(path: Path) -> dict[str, str]:
    """Return the images of a kustomization as NAME@DIGEST, by the name that its manifests use."""
    entries = ENTRY.finditer(_read(path))
    return {entry["name"]: f"{entry['new']}@{entry['digest']}" for entry in entries}


def pin(paths: Sequence[Path], images: dict[str, str]) -> None:
    """Write the digests of ``images`` into the kustomizations that name them.

    Raises:
        UserError: an image is not named by digest, or none of the kustomizations names it.
    """
    for name, image in images.items():
        if not IMAGE.fullmatch(image):
            raise UserError(f"{name}: {image} is not NAME@sha256:DIGEST")
    named = {name for path in paths for name in pinned(path)}
    if missing := images.keys() - named:
        where = ", ".join(map(str, paths))
        raise UserError(f"{where}: no image {', '.join(sorted(missing))} with newName and digest")

    def replace(entry: re.Match[str]) -> str:
        present = f"{entry['new']}@{entry['digest']}"
        new, _, digest = images.get(entry["name"], present).partition("@")
        return f"{entry['head']}{new}{entry['between']}{digest}"

    for path in paths:
        content = ENTRY.sub(replace, _read(path))
        if content != _read(path):
            with replacing(path) as partial:
                partial.write_text(content)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.pin", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help=f"of {MANIFESTS}, such as overlays/production/template",
    )
    parser.add_argument("--images", type=Path, help="JSON file from deploy.images push")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    paths = [MANIFESTS / folder / FILE for folder in args.folders]

    def work() -> None:
        if args.images:
            pin(paths, read_json(args.images))
        for path in paths:
            for image in pinned(path).values():
                print(image)

    return cli.run("pin", work)


if __name__ == "__main__":
    raise SystemExit(main())
