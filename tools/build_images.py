"""Build the images of training, serving and the receiver, and print their sizes."""

import argparse
import re
from pathlib import Path

from components import cli
from components.errors import UserError
from tools.commands import output, run, succeeds

IMAGES = ("train", "serve", "receiver")
DOCKERFILE = "Dockerfile.{}"


def official_base(dockerfile: Path) -> str:
    """Return the image, pinned by digest, that a Dockerfile names as its stage ``base``."""
    match = re.search(r"^FROM (\S+) AS base$", dockerfile.read_text(), re.MULTILINE)
    if match is None:
        raise UserError(f"{dockerfile}: no line FROM IMAGE AS base")
    return match[1]


def build(engine: str, names: list[str], base: str, version: str, labels: dict[str, str]) -> None:
    """Build images as localhost/sentiment-NAME:VERSION.

    ``base`` replaces the stage ``base`` of the Dockerfiles; empty leaves the official image.
    """
    if not engine:
        raise UserError("neither podman nor docker is installed; on Debian: make packages")
    # BuildKit and podman both let a build context replace a stage of that name
    context = [f"--build-context=base=docker-image://{base}"] if base else []
    base = base or official_base(Path(DOCKERFILE.format(names[0])))
    if not succeeds(engine, "image", "inspect", base):
        run(engine, "pull", "--quiet", base)
    arguments = [f"--build-arg={name}={value}" for name, value in labels.items()]
    images = {name: f"localhost/sentiment-{name}:{version}" for name in names}
    for name, image in images.items():
        file = DOCKERFILE.format(name)
        run(engine, "build", "--file", file, "--tag", image, *context, *arguments, ".")
    for name, image in images.items():
        total, below = _size(engine, image), _size(engine, base)
        print(f"sentiment-{name}:{version} {total} MB, {total - below} MB without the base")


def _size(engine: str, image: str) -> int:
    return int(output(engine, "image", "inspect", "--format", "{{.Size}}", image)) // 1_000_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build_images", description=__doc__)
    parser.add_argument("names", nargs="+", choices=IMAGES, metavar="NAME", help=", ".join(IMAGES))
    parser.add_argument("--engine", required=True, help="podman or docker")
    parser.add_argument("--base", default="", help="base image instead of the official one")
    parser.add_argument("--version", required=True)
    parser.add_argument("--commit", required=True, help="for the label revision")
    parser.add_argument("--source", required=True, help="URL of the repository, for the label")
    args = parser.parse_args(argv)
    labels = {"VERSION": args.version, "COMMIT": args.commit, "SOURCE": args.source}
    return cli.run(
        "build_images",
        lambda: build(args.engine, args.names, args.base, args.version, labels),
    )


if __name__ == "__main__":
    raise SystemExit(main())
