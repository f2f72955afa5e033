"""Log in to an image registry, push the tested images, and refuse those that its scan rejects.

Images are pushed by commit, and each commit once: an image that the registry has already is tested
again and kept. ``login`` and ``scan`` are for Amazon's registry, ECR.
"""

import argparse
import base64
import json
import logging
import re
import subprocess
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.exceptions import WaiterError

from components import cli
from components.errors import UnavailableError, UserError
from components.io import processes, registry
from components.io.files import read_json, write_json
from components.io.models import load_model
from deploy.aws.errors import one_line
from deploy.errors import NETWORK_FAILURE

IMAGES = ("sentiment-train", "sentiment-serve", "sentiment-receiver")
SERVING, RECEIVER = IMAGES[1:]
# commands of the receiver's image
RECEIVER_MODULES = (
    *("monitoring.receiver", "monitoring.exporter", "monitoring.dispatch"),
    "pipelines.submit",
)
TEXTS = ["A warm, funny film.", "Two dull hours.", "", "Not bad at all, <br />but far too long."]
# as in a cluster; with ulimits, as the engine's own may exceed those of this machine
CONFINED = [
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "host", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
]
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?(/|$)")

log = logging.getLogger("images")


class Engine:
    """A container engine, podman or docker, and a registry, by the commands that both have."""

    def __init__(self, command: str, host: str) -> None:
        self.command, self.host = command, host
        self._podman = Path(command).name == "podman"
        # docker accepts a registry on loopback without TLS by itself
        self._tls = ["--tls-verify=false"] if self._podman and LOOPBACK.match(host) else []

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Return the output of a command.

        Raises:
            UserError: it failed.
            UnavailableError: it failed by the network.
        """
        command = [self.command, *arguments]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if result.returncode:
            message = f"{self.command} {' '.join(arguments)}: {result.stderr.strip()}"
            network = NETWORK_FAILURE.search(result.stderr)
            raise (UnavailableError if network else UserError)(message)
        return result.stdout

    def login(self, user: str, password: str) -> None:
        # by standard input, as every local user can read a command line
        arguments = ["--username", user, "--password-stdin", self.host]
        self.run("login", *self._tls, *arguments, stdin=password)

    def find(self, name: str, tag: str) -> str | None:
        """Return NAME@DIGEST of an image, pulled from the registry, or None without such a tag."""
        reference = f"{self.host}/{name}:{tag}"
        if not self._pull(reference):
            return None
        digests = self.run("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        # podman lists the digest of the image as it was built here, too
        ours = (each for each in json.loads(digests) if each.startswith(f"{self.host}/{name}@"))
        return next(each for each in ours if self._pull(each))

    def _pull(self, reference: str) -> bool:
        try:
            self.run("pull", "--quiet", *self._tls, reference)
        except UserError as error:
            log.info("not in the registry (%s)", error)
            return False
        return True

    def push(self, image: str, name: str, tag: str) -> str:
        """Push an image and return it as NAME@DIGEST."""
        reference = f"{self.host}/{name}:{tag}"
        if self._podman:
            with tempfile.NamedTemporaryFile() as file:
                self.run("push", *self._tls, "--digestfile", file.name, image, reference)
                digest = Path(file.name).read_text().strip()
        else:
            self.run("tag", image, reference)
            digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", self.run("push", reference))[-1]
        return f"{self.host}/{name}@{digest}"


def push(engine: Engine, version: str, commit: str, name: str) -> dict[str, str]:
    """Test the images, push them, and return them as NAME@DIGEST by name.

    Raises:
        UserError: an image is not of this commit, the serving image does not answer as the
            champion does, or the receiver's does not start; then nothing was pushed.
    """
    if commit.endswith("-dirty"):
        raise UserError("the tree has uncommitted changes; commit them, and make images")
    remote = {image: engine.find(image, commit) for image in IMAGES}
    local = {image: f"localhost/{image}:{version}" for image in IMAGES}
    for image in (image for image in IMAGES if remote[image] is None):
        revision = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
        built = engine.run("image", "inspect", "--format", revision, local[image]).strip()
        if built != commit:
            raise UserError(f"{local[image]} is of commit {built}, not {commit}: make images")
    check_answers(engine, remote[SERVING] or local[SERVING], name)
    check_start(engine, remote[RECEIVER] or local[RECEIVER])
    return {image: remote[image] or engine.push(local[image], image, commit) for image in IMAGES}


def check_answers(engine: Engine, image: str, name: str) -> None:
    """Serve the champion from the image and compare its answers with those of the model itself."""
    with tempfile.TemporaryDirectory() as scratch, registry.connected() as client:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is None:
            raise UserError(f"{name} has no champion to test {image} with; promote one first")
        model = registry.download(client, champion, Path(scratch))
        for path in (model, *model.rglob("*")):  # the container's user is another one
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        expected = load_model(model).predict_proba(TEXTS).tolist()
        answers = _answers(engine, image, model, Path(scratch) / "log")
    if answers != expected:
        raise UserError(f"{image} answers {answers}, and version {champion.version} {expected}")
    log.info("%s answers as version %s does", image, champion.version)


def check_start(engine: Engine, image: str) -> None:
    """Run each command of the receiver's image with --help, which imports all that it needs."""
    for module in RECEIVER_MODULES:
        command = [*CONFINED, "--entrypoint", "python", image, "-m", module]
        engine.run("run", "--rm", *command, "--help")
    log.info("%s starts", image)


def _answers(engine: Engine, image: str, model: Path, output: Path) -> list[list[float]]:
    http_port, grpc_port = processes.free_ports(2)
    container = f"sentiment-check-{http_port}"
    command = [engine.command, "run", "--rm", "--name", container, *CONFINED]
    command += ["--volume", f"{model}:/mnt/models:ro", image]
    command += ["--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    address = f"http://127.0.0.1:{http_port}/v1/models/sentiment"
    try:
        with (
            processes.running(command, partial(processes.answers, address), output),
            requests.Session() as session,
        ):
            session.trust_env = False  # no proxy, as the address is of this machine
            response = session.post(f"{address}:predict", json={"instances": TEXTS}, timeout=60)
            response.raise_for_status()
            predictions = response.json()["predictions"]
            return [[*each["probabilities"].values()] for each in predictions]
    except requests.RequestException as error:
        raise UserError(f"{image} does not answer: {error}") from error
    except LookupError as error:
        raise UserError(f"{image}: a prediction has no {error}; build the image again") from error
    except UserError as error:
        raise UserError(f"{image}: {error}") from error
    finally:
        with suppress(UserError):  # a container that ended by itself is removed already
            engine.run("rm", "--force", container)


def login(client: Any, engine: Engine) -> None:
    """Give the engine a token of ECR for twelve hours."""
    (data,) = client.get_authorization_token()["authorizationData"]
    user, _, token = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    engine.login(user, token)
    log.info("logged in to %s", engine.host)


def scan(client: Any, image: str, refused: str) -> None:
    """Wait for the scan that a push starts, and check that it found nothing ``refused`` or worse.

    Raises:
        UserError: it found something so severe.
        UnavailableError: the scan did not end.
    """
    name, _, digest = image.partition("@")
    which = {"repositoryName": name.partition("/")[2], "imageId": {"imageDigest": digest}}
    try:
        client.get_waiter("image_scan_complete").wait(**which)
    except WaiterError as error:
        raise UnavailableError(f"{image}: the scan did not end: {error}") from error
    findings = client.describe_image_scan_findings(**which)["imageScanFindings"]
    counts = findings.get("findingSeverityCounts", {})
    summary = ", ".join(f"{count} {severity.lower()}" for severity, count in counts.items())
    log.info("%s: %s", image, summary or "nothing found")
    worst = SEVERITIES[: SEVERITIES.index(refused) + 1]
    if any(counts.get(severity) for severity in worst):
        raise UserError(f"{image}: the scan found {summary}; {refused} and worse are refused")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("login", "log in to ECR"),
        ("push", "test and push the images of a commit"),
        ("scan", "wait for ECR's scan of the pushed images"),
    ):
        add = commands.add_parser(name, help=text, description=text).add_argument
        if name != "scan":
            add("--registry", required=True, help="such as ACCOUNT.dkr.ecr.REGION.amazonaws.com")
            add("--engine", default="podman", help="default: %(default)s")
        if name == "push":
            add("--version", required=True, help="tag of the images here, as make images gives it")
            add("--commit", required=True, help="tag of the images there")
            add("--name", default="sentiment", help="the registered model; default: %(default)s")
            add("--images", required=True, type=Path, help="JSON file to write")
        if name == "scan":
            add("--images", required=True, type=Path, help="JSON file that push wrote")
            severest = SEVERITIES[0]
            add("--refuse", choices=SEVERITIES, default=severest, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        if args.command == "push":
            engine = Engine(args.engine, args.registry)
            images = push(engine, args.version, args.commit, args.name)
            write_json(args.images, images)
            print(*images.values(), sep="\n")
            return
        with one_line():
            client = boto3.client("ecr")
            if args.command == "login":
                login(client, Engine(args.engine, args.registry))
            else:
                for image in read_json(args.images).values():
                    scan(client, image, args.refuse)

    return cli.run("images", work)


if __name__ == "__main__":
    raise SystemExit(main())
