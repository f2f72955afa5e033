"""Make a base image from Debian 12's packages, for machines that reach no image registry.

It holds Debian's Python and this machine's certificates: use it for tests and never push it.
"""

import argparse
import shutil
import subprocess

from components import cli
from components.errors import UserError
from tools.commands import output

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DEBIAN = (
    *("mmdebstrap", "--quiet", "--variant=minbase"),
    "--include=ca-certificates,python3,python3-pip,python3-venv",
    '--customize-hook=ln -sf python3.11 "$1/usr/bin/python"',
    f"--customize-hook=copy-in {CERTIFICATES} /etc/ssl/certs",
    *("bookworm", "-"),
)


def make(engine: str, image: str) -> None:
    """Import a Debian file system with Python as ``image``.

    Raises:
        UserError: apt has no source of Debian 12, or a program is missing or failed.
    """
    for program in (engine, DEBIAN[0]):
        if not shutil.which(program):
            raise UserError(f"{program} is not installed; on Debian: make packages")
    source = mirror()
    if not source:
        raise UserError("apt has no source of Debian 12 (bookworm)")
    importing = [engine, "import", "--change", f"ENV PIP_CERT={CERTIFICATES}", "-", image]
    with subprocess.Popen([*DEBIAN, source], stdout=subprocess.PIPE) as debian:
        imported = subprocess.run(importing, stdin=debian.stdout).returncode
    if debian.returncode or imported:
        raise UserError("mmdebstrap or the import failed; the message is above")


def mirror() -> str:
    """Return where apt gets Debian 12, or nothing if it does not, as on Ubuntu."""
    sources = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm")
    return next(iter(sources.split()), "")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.base_image", description=__doc__)
    parser.add_argument("image", help="name of the image, such as localhost/python-base:3.11")
    parser.add_argument("--engine", default="podman", help="podman or docker")
    args = parser.parse_args(argv)
    return cli.run("base_image", lambda: make(args.engine, args.image))


if __name__ == "__main__":
    raise SystemExit(main())
