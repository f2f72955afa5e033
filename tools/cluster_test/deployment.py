"""Run a deployment under load from a copy of an overlay, and compare how it ends."""

import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from deploy.cluster import kubectl
from deploy.overlay import CONTAINER, TEMPLATE
from tools.cluster import manifests
from tools.cluster_test.load import NOT_COUNTED, Caller

PATCH = "cluster-test.yaml"
LATE_SECONDS = 3  # what a gateway does late belongs to the step before
log = logging.getLogger("cluster-test")


@dataclass(frozen=True)
class Expected:
    """How a step should end: its exit code, and at most this share of the requests lost."""

    exit: int
    lost_share: float = 0.0


@dataclass(frozen=True)
class Step:
    """What a step did, and what a steady caller got meanwhile.

    ``not_counted`` are requests that a forward to the gateway lost, not the gateway.
    """

    name: str
    passed: bool
    wanted_exit: int
    exit: int
    seconds: float
    requests: int
    lost: int
    not_counted: int
    versions: dict[str, int]
    last_line: str


@dataclass(frozen=True)
class OverlayCopy:
    """The copy of an overlay that the steps change, and how a deployment of it is started.

    ``resources`` are those of the container, so that a small node has room for all pods.
    """

    overlay: Path
    flags: Sequence[str]
    caller: Caller
    resources: Mapping[str, Any] = field(default_factory=dict)

    def change(self, **container: Any) -> None:
        """Set fields of the template's container, for the predictors made from now on."""
        document = yaml.safe_load((self.overlay / "model.yaml").read_text())
        resources = {"resources": dict(self.resources)} if self.resources else {}
        fields = {"name": CONTAINER} | resources | container
        document["spec"] = {"predictor": {"containers": [fields]}}
        (self.overlay / TEMPLATE / PATCH).write_text(yaml.safe_dump(document))

    def image(self) -> str:
        """Return the repository of the serving image."""
        rendered = kubectl("kustomize", str(self.overlay / TEMPLATE))
        return re.findall(r"image: (\S+sentiment-serve)@", rendered)[0]

    def command(self, version: str, canary: bool) -> list[str]:
        command = [sys.executable, "-m", "deploy", "--overlay", str(self.overlay)]
        return [*command, "--version", version, *self.flags, *(["--canary=10"] if canary else [])]

    def step(
        self,
        name: str,
        version: str,
        expected: Expected,
        kill_at: str | None = None,
        canary: bool = True,
        loaded: bool = True,
    ) -> Step:
        """Deploy under load, unless not ``loaded``, and compare the end.

        ``kill_at`` is a line of the deployment at which it is killed.
        """
        log.info("%s …", name)
        before, started = self.caller.answers(), time.monotonic()
        with subprocess.Popen(
            self.command(version, canary),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as process:
            last = ""
            for line in process.stderr or ():
                sys.stderr.write(f"  {line}")
                last = line.strip()
                if kill_at is not None and re.search(kill_at, line):
                    process.send_signal(signal.SIGKILL)
        time.sleep(LATE_SECONDS)
        answers, seconds = self.caller.answers() - before, time.monotonic() - started
        rate = self.caller.rate if loaded else 0
        return judge(name, expected, process.returncode, answers, seconds, rate, last)


def judge(
    name: str,
    expected: Expected,
    code: int,
    answers: Counter[tuple[int, str]],
    seconds: float,
    rate: float,
    last_line: str,
) -> Step:
    """Compare the end of a step and the answers meanwhile with what is expected."""
    not_counted = sum(n for (status, _), n in answers.items() if status == NOT_COUNTED)
    count = answers.total() - not_counted
    versions: Counter[str] = Counter()
    for (status, found), number in answers.items():
        if status == requests.codes.ok:
            versions[found] += number
    lost = count - versions.total()
    return Step(
        name=name,
        passed=(
            code == expected.exit
            and lost <= expected.lost_share * count
            and count >= rate * seconds / 2  # with fewer requests nothing is proved
        ),
        wanted_exit=expected.exit,
        exit=code,
        seconds=round(seconds, 1),
        requests=count,
        lost=lost,
        not_counted=not_counted,
        versions=dict(versions),
        last_line=last_line,
    )


def copy_of(overlay: Path, directory: Path) -> Path:
    """Copy the manifests of an overlay, so that no step changes a file of the repository."""
    source = overlay.resolve().parents[1]
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("*.env"))
    copied = directory / overlay.resolve().relative_to(source)
    template = copied / TEMPLATE
    patches = [*manifests.read(template).get("patches", []), {"path": PATCH}]
    manifests.change(template, patches=patches)
    return copied
