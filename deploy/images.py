"""Push the images, once the serving image was seen to answer with the champion inside.

The image of the receiver is seen to start, with all that it may be told to start itself.

They are named by commit, and a commit is pushed once: what is there already is tested and kept.
"""

import argparse
import logging
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import requests

from components import cli
from components.errors import UserError
from components.io import processes, registry
from components.io.files import write_json
from components.io.models import load_model
from deploy.engine import Engine

IMAGES = ("sentiment-train", "sentiment-serve", "sentiment-receiver")
SERVING, RECEIVER = IMAGES[1:]
# commands of the receiver's image
STARTS = ("monitoring.receiver", "pipelines.submit", "monitoring.dispatch")
TEXTS = ["A warm, funny film.", "Two dull hours.", "", "Not bad at all, <br />but far too long."]
# as a cluster runs it; and the engine asks for more files and processes than a machine may give
CONFINED = [
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "host", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
]

log = logging.getLogger("publish")


def publish(engine: Engine, version: str, commit: str, name: str) -> dict[str, str]:
    """Return the images as NAME@DIGEST, by name, all of them pushed.

    Raises:
        UserError: the serving image does not answer as the champion does, or the receiver's does
            not start, and nothing was pushed; or an image is of another commit, or of none.
    """
    if commit.endswith("-dirty"):
        raise UserError("the tree has changes that are in no commit; commit them, and make images")
    there = {image: engine.pulled(image, commit) for image in IMAGES}
    local = {image: f"localhost/{image}:{version}" for image in IMAGES}
    for image in (image for image in IMAGES if there[image] is None):
        revision = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
        built = engine.run("image", "inspect", "--format", revision, local[image]).strip()
        if built != commit:
            raise UserError(f"{local[image]} is of commit {built}, not {commit}: make images")
    check(engine, there[SERVING] or local[SERVING], name)
    check_start(engine, there[RECEIVER] or local[RECEIVER])
    return {image: there[image] or engine.pushed(local[image], image, commit) for image in IMAGES}


def check(engine: Engine, image: str, name: str) -> None:
    """Serve the champion from the image and compare its answers with those of the model itself."""
    with tempfile.TemporaryDirectory() as scratch, registry.connected() as client:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is None:
            raise UserError(f"{name} has no champion to test {image} with; promote one first")
        model = registry.download(client, champion, Path(scratch))
        for path in (model, *model.rglob("*")):  # for a user who is nobody here
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        expected = load_model(model).predict_proba(TEXTS)[:, 1].tolist()
        found = _asked(engine, image, model, Path(scratch) / "log")
    if found != expected:
        raise UserError(f"{image} answers {found}, and version {champion.version} {expected}")
    log.info("%s answers as version %s does", image, champion.version)


def check_start(engine: Engine, image: str) -> None:
    """Ask each command of the receiver's image for its usage, which takes all that it imports."""
    for module in STARTS:
        command = [*CONFINED, "--entrypoint", "python", image, "-m", module]
        engine.run("run", "--rm", *command, "--help")
    log.info("%s starts", image)


def _asked(engine: Engine, image: str, model: Path, output: Path) -> list[float]:
    http_port, grpc_port = processes.free_ports(2)
    container = f"sentiment-check-{http_port}"
    command = [engine.command, "run", "--rm", "--name", container, *CONFINED]
    command += ["--volume", f"{model}:/mnt/models:ro", image]
    command += ["--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    address = f"http://127.0.0.1:{http_port}/v1/models/sentiment"
    try:
        with processes.running(command, partial(processes.answers, address), output):
            answer = requests.post(f"{address}:predict", json={"instances": TEXTS}, timeout=60)
            answer.raise_for_status()
            return [each["probability"] for each in answer.json()["predictions"]]
    except requests.RequestException as error:
        raise UserError(f"{image} does not answer: {error}") from error
    except UserError as error:
        raise UserError(f"{image}: {error}") from error
    finally:
        with suppress(UserError):  # it is gone when it ended by itself
            engine.run("rm", "--force", container)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    add = parser.add_argument
    add("--registry", required=True, help="such as ACCOUNT.dkr.ecr.REGION.amazonaws.com")
    add("--version", required=True, help="tag of the images here, as make images gives it")
    add("--commit", required=True, help="tag of the images there")
    add("--engine", default="podman", help="default: %(default)s")
    add("--name", default="sentiment", help="the registered model; default: %(default)s")
    add("--images", required=True, type=Path, help="JSON file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        engine = Engine(args.engine, args.registry)
        images = publish(engine, args.version, args.commit, args.name)
        write_json(args.images, images)
        print(*images.values(), sep="\n")

    return cli.run("publish", work)


if __name__ == "__main__":
    raise SystemExit(main())
