"""Write into an overlay which images it runs, by digest, or say which it does.

It needs nothing but Python, as it runs in the job that may write to the repository.
"""

import argparse
import logging
import re
from pathlib import Path

from components import errors
from components.errors import StageError
from components.files import read_json, replacing

OVERLAYS = Path("manifests/overlays")
FILE = "kustomization.yaml"
ENTRY = re.compile(
    r"^(?P<head>  - name: (?P<name>[\w-]+)\n    newName: )(?P<new>\S+)"
    r"(?P<between>\n    digest: )(?P<digest>sha256:[0-9a-f]{64})$",
    re.MULTILINE,
)
IMAGE = re.compile(r"(?P<new>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")

log = logging.getLogger("pin")


def pinned(path: Path) -> dict[str, str]:
    """Return the images of an overlay as NAME@DIGEST, by the name that its manifests use."""
    found = ENTRY.finditer(_read(path))
    return {entry["name"]: f"{entry['new']}@{entry['digest']}" for entry in found}


def pin(path: Path, images: dict[str, str]) -> None:
    """Make the overlay run ``images``; the rest of the file, comments included, stays.

    Raises:
        StageError: an image is not named by digest, or the overlay has none of that name.
    """
    for name, image in images.items():
        if not IMAGE.fullmatch(image):
            raise StageError(f"{name}: {image} is not NAME@sha256:DIGEST")
    if missing := images.keys() - pinned(path).keys():
        raise StageError(f"{path}: no image {', '.join(sorted(missing))} with newName and digest")

    def written(entry: re.Match[str]) -> str:
        new, _, digest = images.get(entry["name"], f"{entry['new']}@{entry['digest']}").partition(
            "@"
        )
        return f"{entry['head']}{new}{entry['between']}{digest}"

    content = ENTRY.sub(written, _read(path))
    if content != _read(path):
        with replacing(path) as partial:
            partial.write_text(content)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise StageError(f"{path}: {error.strerror}") from error


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.pin", description=__doc__)
    parser.add_argument("overlays", nargs="+", metavar="OVERLAY", help=f"a folder of {OVERLAYS}")
    parser.add_argument("--images", type=Path, help="JSON file from pipelines.publish")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    paths = [OVERLAYS / overlay / FILE for overlay in args.overlays]

    def work() -> None:
        images = read_json(args.images) if args.images else {}
        for path in paths:
            if args.images:
                pin(path, images)
            for image in pinned(path).values():
                print(image)

    return errors.run("pin", work)


if __name__ == "__main__":
    raise SystemExit(main())
