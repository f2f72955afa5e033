"""Amazon's image registry: a login for the container engine, and what its scan found."""

import argparse
import base64
import logging
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from components import cli
from components.errors import UserError
from components.io.files import read_json
from deploy.engine import Engine

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")

log = logging.getLogger("ecr")


def login(client: Any, engine: Engine) -> None:
    """Give the engine a token of twelve hours."""
    (data,) = client.get_authorization_token()["authorizationData"]
    user, _, token = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    engine.login(user, token)
    log.info("logged in to %s", engine.host)


def scan(client: Any, image: str, refused: str) -> None:
    """Wait for the scan that a push starts, and see that it found nothing ``refused`` or worse."""
    name, _, digest = image.partition("@")
    which = {"repositoryName": name.partition("/")[2], "imageId": {"imageDigest": digest}}
    try:
        client.get_waiter("image_scan_complete").wait(**which)
    except WaiterError as error:
        raise UserError(f"{image}: no scan ended: {error}") from error
    found = client.describe_image_scan_findings(**which)["imageScanFindings"]
    counts = found.get("findingSeverityCounts", {})
    said = ", ".join(f"{count} {severity.lower()}" for severity, count in counts.items())
    log.info("%s: %s", image, said or "nothing found")
    worst = SEVERITIES[: SEVERITIES.index(refused) + 1]
    if any(counts.get(severity) for severity in worst):
        raise UserError(f"{image}: the scan found {said}; {refused} and worse are refused")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.ecr", description=__doc__)
    parser.add_argument("what", choices=("login", "scan"))
    parser.add_argument("--registry", help="for login: ACCOUNT.dkr.ecr.REGION.amazonaws.com")
    parser.add_argument("--engine", default="podman", help="default: %(default)s")
    parser.add_argument("--images", type=Path, help="for scan: JSON file from deploy.images")
    parser.add_argument(
        "--refuse", choices=SEVERITIES, default=SEVERITIES[0], help="default: %(default)s"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if not (args.registry if args.what == "login" else args.images):
        parser().error("login needs --registry, and scan --images")

    def work() -> None:
        try:
            client = boto3.client("ecr")
            if args.what == "login":
                login(client, Engine(args.engine, args.registry))
            else:
                for image in read_json(args.images).values():
                    scan(client, image, args.refuse)
        except (ClientError, BotoCoreError) as error:
            raise UserError(str(error)) from error

    return cli.run("ecr", work)


if __name__ == "__main__":
    raise SystemExit(main())
