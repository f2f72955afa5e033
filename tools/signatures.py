"""Sign images with cosign, or verify that the workflow images signed them.

The identity of the workflow signs, so that there is no key to keep.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from components import cli
from components.errors import UserError
from tools.commands import run, succeeds

ISSUER = "https://token.actions.githubusercontent.com"


def verify_command(signer: str) -> list[str]:
    flags = ["--output", "text", "--certificate-oidc-issuer", ISSUER]
    return ["cosign", "verify", *flags, "--certificate-identity", signer]


def sign(images: Sequence[str], signer: str) -> None:
    """Sign each image that ``signer`` has not signed yet, and verify the signature."""
    for image in images:
        if not succeeds(*verify_command(signer), image):
            run("cosign", "sign", "--yes", image)
    verify(images, signer)


def verify(images: Sequence[str], signer: str) -> None:
    """Verify the signatures.

    Raises:
        UserError: there is no image, one is not named by digest, or ``signer`` has not signed it.
    """
    if not images:
        raise UserError("no image to verify")
    for image in images:
        if "@sha256:" not in image:
            raise UserError(f"{image} is not NAME@sha256:DIGEST")
        run(*verify_command(signer), image)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.signatures", description=__doc__)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="NAME@sha256:DIGEST to verify")
    parser.add_argument("--sign", type=Path, metavar="FILE", help="JSON file with images to sign")
    parser.add_argument("--signer", required=True, help="identity of the workflow that signs")
    args = parser.parse_args(argv)

    def work() -> None:
        if args.sign:
            sign([*json.loads(args.sign.read_text()).values()], args.signer)
        else:
            verify(args.images, args.signer)

    return cli.run("signatures", work)


if __name__ == "__main__":
    raise SystemExit(main())
