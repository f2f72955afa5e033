"""The container engine and a registry of images: podman or docker, by what they share."""

import json
import logging
import re
import subprocess
import tempfile
from pathlib import Path

from components.errors import UserError

LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?(/|$)")

log = logging.getLogger("publish")


class Engine:
    """podman or docker, by the commands that they share."""

    def __init__(self, command: str, host: str) -> None:
        self.command, self.host = command, host
        self.podman = Path(command).name == "podman"
        # docker itself takes a registry on loopback without TLS
        self.plain = ["--tls-verify=false"] if self.podman and LOOPBACK.match(host) else []

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Return what a command prints; ``given`` is its standard input."""
        command = [self.command, *arguments]
        result = subprocess.run(command, input=given, capture_output=True, text=True)
        if result.returncode:
            raise UserError(f"{self.command} {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def login(self, user: str, password: str) -> None:
        # by standard input, as anybody may read a command line
        arguments = ["--username", user, "--password-stdin", self.host]
        self.run("login", *self.plain, *arguments, given=password)

    def pulled(self, name: str, tag: str) -> str | None:
        """Return NAME@DIGEST of what the registry has, or None where it has no such tag."""
        reference = f"{self.host}/{name}:{tag}"
        if not self._pull(reference):
            return None
        digests = self.run("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        # podman counts that of the image as it was built here among them
        ours = (each for each in json.loads(digests) if each.startswith(f"{self.host}/{name}@"))
        return next(each for each in ours if self._pull(each))

    def _pull(self, reference: str) -> bool:
        try:
            self.run("pull", "--quiet", *self.plain, reference)
        except UserError as error:
            log.info("not there (%s)", error)
            return False
        return True

    def pushed(self, image: str, name: str, tag: str) -> str:
        """Push an image and return it as NAME@DIGEST."""
        reference = f"{self.host}/{name}:{tag}"
        if self.podman:
            with tempfile.NamedTemporaryFile() as file:
                self.run("push", *self.plain, "--digestfile", file.name, image, reference)
                digest = Path(file.name).read_text().strip()
        else:
            self.run("tag", image, reference)
            digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", self.run("push", reference))[-1]
        return f"{self.host}/{name}@{digest}"
