"""Prove deployments on a cluster with KServe and a gateway, and write what was seen as evidence.

It works on a copy of the overlay and asks the Kubernetes API alone, so it does not matter how the
cluster was made. Requests go through the gateway all the time, and each that fails is counted.
"""

import argparse
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from components import cli
from components.cli import positive
from components.errors import UserError
from components.io.files import replacing, write_json
from deploy.cluster import kubectl
from deploy.overlay import CONTAINER, TEMPLATE

log = logging.getLogger("cluster-test")

PATCH = "cluster-test.yaml"
UNKNOWN_DIGEST = "sha256:" + "f" * 64
REVIEW = "A warm, funny film."
WORKERS = 16


@dataclass(frozen=True)
class Step:
    """What a step did, and what a steady caller got meanwhile."""

    name: str
    passed: bool
    wanted_exit: int
    exit: int
    seconds: float
    requests: int
    lost: int
    versions: dict[str, int]
    last_line: str


@dataclass
class Caller:
    """Sends ``rate`` requests a second through the gateway and counts the answers."""

    address: str
    host: str
    path: str
    rate: float
    _answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self) -> Counter[tuple[int, str]]:
        """Return the answers so far, by status (0: none) and version."""
        with self._lock:
            return Counter(self._answers)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Send requests while the block runs; raise a sender's error at its end."""
        done = threading.Event()

        def send(number: int) -> None:
            with requests.Session() as session:
                session.trust_env = False  # no proxy
                due = time.monotonic() + number / self.rate
                while not done.wait(max(due - time.monotonic(), 0)):
                    answer = self._ask(session)
                    with self._lock:
                        self._answers[answer] += 1
                    due += WORKERS / self.rate

        with ThreadPoolExecutor(WORKERS) as pool:
            senders = [pool.submit(send, number) for number in range(WORKERS)]
            try:
                yield
            finally:
                done.set()
            for sender in senders:
                sender.result()

    def _ask(self, session: requests.Session) -> tuple[int, str]:
        try:
            response = session.post(
                f"{self.address}{self.path}",
                json={"instances": [REVIEW]},
                headers={"host": self.host},
                timeout=30,
            )
        except requests.RequestException:
            return 0, "none"
        return response.status_code, response.headers.get("x-model-version", "none")


@dataclass(frozen=True)
class OverlayCopy:
    """The copy of an overlay that the steps change, and how a deployment of it is started."""

    overlay: Path
    flags: Sequence[str]
    caller: Caller

    def change(self, **container: Any) -> None:
        """Set fields of the template's container, for the predictors made from now on."""
        path = self.overlay / TEMPLATE / PATCH
        document = yaml.safe_load((self.overlay / "model.yaml").read_text())
        document["spec"] = {"predictor": {"containers": [{"name": CONTAINER} | container]}}
        path.write_text(yaml.safe_dump(document))

    def command(self, version: str) -> list[str]:
        command = [sys.executable, "-m", "deploy", "--overlay", str(self.overlay)]
        return [*command, "--version", version, *self.flags]

    def step(self, name: str, version: str, wanted_exit: int, kill_at: str | None = None) -> Step:
        """Deploy under load, and compare the exit code; ``kill_at`` is a line to be killed at."""
        log.info("%s …", name)
        before, started = self.caller.answers(), time.monotonic()
        with subprocess.Popen(
            self.command(version), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as process:
            last = ""
            for line in process.stderr or ():
                sys.stderr.write(f"  {line}")
                last = line.strip()
                if kill_at is not None and re.search(kill_at, line):
                    process.send_signal(signal.SIGKILL)
        time.sleep(3)  # what a gateway does late belongs to this step
        answers, seconds = self.caller.answers() - before, time.monotonic() - started
        lost = sum(number for (status, _), number in answers.items() if status != requests.codes.ok)
        versions: Counter[str] = Counter()
        for (status, found), number in answers.items():
            if status == requests.codes.ok:
                versions[found] += number
        code, count = process.returncode, answers.total()
        return Step(
            name=name,
            # without half of the requests nothing is proved
            passed=code == wanted_exit and not lost and count > self.caller.rate * seconds / 2,
            wanted_exit=wanted_exit,
            exit=code,
            seconds=round(seconds, 1),
            requests=count,
            lost=lost,
            versions=dict(versions),
            last_line=last,
        )


def steps(copied: OverlayCopy, first: str, second: str) -> Iterator[Step]:
    """Yield the steps: from a first version by canaries, faults and kills to the last."""
    yield copied.step("first version", first, 0)
    yield copied.step("second version by canary", second, 0)
    copied.change(env=[{"name": "CLUSTER_TEST", "value": "1"}])
    yield copied.step("new spec under the same version", second, 0)
    image = kubectl("kustomize", str(copied.overlay / TEMPLATE))
    name = re.findall(r"image: (\S+sentiment-serve)@", image)[0]
    copied.change(image=f"{name}@{UNKNOWN_DIGEST}")
    yield copied.step("an image that does not exist", second, 3)
    copied.change(args=["--no_such_flag"])
    yield copied.step("a container that ends", second, 3)
    copied.change(resources={"requests": {"cpu": "900"}, "limits": {"cpu": "900"}})
    yield copied.step("no room on any node", second, 4)
    copied.change(env=[{"name": "CLUSTER_TEST", "value": "2"}])
    lines = ("waiting for v", "answers as version", "at 10% the canary", "at 50% the canary")
    for number, line in enumerate(lines):
        version = (first, second)[number % 2]
        yield copied.step(f"killed at: {line}", version, -signal.SIGKILL, kill_at=line)
        time.sleep(20)  # until the lease has ended
        yield copied.step("started again", version, 0)


def write_page(path: Path, evidence: dict[str, Any]) -> None:
    """Write the evidence as a page of Markdown."""
    lines = [f"# Deployments on {evidence['cluster']}", "", f"{evidence['at']}", ""]
    lines += ["| step | passed | exit | seconds | requests | lost | by version | last line |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for each in evidence["steps"]:
        versions = ", ".join(f"{key}: {count}" for key, count in each["versions"].items())
        cells = (each["name"], each["passed"], each["exit"], each["seconds"], each["requests"])
        text = each["last_line"].replace("|", "/")
        lines.append(f"| {' | '.join(map(str, cells))} | {each['lost']} | {versions} | {text} |")
    with replacing(path) as partial:
        partial.write_text("\n".join([*lines, ""]))


def copy_of(overlay: Path, directory: Path) -> Path:
    """Copy the manifests of an overlay, so that no step changes a file of the repository."""
    manifests = overlay.resolve().parents[1]
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(manifests, directory)
    copied = directory / overlay.resolve().relative_to(manifests)
    path = copied / TEMPLATE / "kustomization.yaml"
    document = yaml.safe_load(path.read_text())
    document["patches"] = [*document.get("patches", []), {"path": PATCH}]
    path.write_text(yaml.safe_dump(document))
    return copied


def run(args: argparse.Namespace) -> int:
    flags = ["--prometheus", args.prometheus, "--canary", "10", *args.deploy_flags]
    flags += ["--context", args.context] if args.context else []
    path = f"/v1/models/{args.model}:predict"
    caller = Caller(args.gateway.rstrip("/"), args.host, path, args.rate)
    copied = OverlayCopy(copy_of(args.overlay, args.directory / "manifests"), flags, caller)
    copied.change()
    context = ["--context", args.context] if args.context else []
    server = json.loads(kubectl(*context, "version", "--output=json"))["serverVersion"]
    evidence = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cluster": f"Kubernetes {server['gitVersion']}",
        "rate": args.rate,
    }
    found: list[Step] = []
    with caller.calling():
        for step in steps(copied, args.first, args.second):
            found.append(step)
            outcome = "passed" if step.passed else "FAILED"
            log.info("%s: %s, %d of %d lost", step.name, outcome, step.lost, step.requests)
            so_far = evidence | {"steps": [asdict(each) for each in found]}
            write_json(args.directory / "cluster-test.json", so_far)
            write_page(args.directory / "cluster-test.md", so_far)
    log.info("evidence: %s", args.directory / "cluster-test.md")
    if failed := [each.name for each in found if not each.passed]:
        raise UserError(f"{len(failed)} of {len(found)} steps failed: {', '.join(failed)}")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster_test", description=__doc__)
    add = parser.add_argument
    add("--overlay", type=Path, required=True, help="a folder of manifests/overlays; it is copied")
    add("--first", required=True, metavar="N", help="a version in the registry")
    add("--second", required=True, metavar="N", help="another one")
    add("--gateway", required=True, help="address of the gateway, as http://127.0.0.1:8000")
    add("--host", required=True, help="host of the InferenceService, as the routes name it")
    add("--model", default="sentiment", help="name in the URLs; default: %(default)s")
    add("--prometheus", default=os.environ.get("PROMETHEUS_URL"), help="default: PROMETHEUS_URL")
    add("--context", help="of kubectl; default: the current one")
    add("--rate", type=positive, default=60.0, help="requests a second; default: %(default)g")
    add("--directory", type=Path, default=Path("reports/cluster-test"), help="for the evidence")
    add("deploy_flags", nargs="*", metavar="FLAG", help="of python -m deploy, after --")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if not args.prometheus:
        parser().error("--prometheus or PROMETHEUS_URL is needed")
    return cli.run("cluster-test", lambda: run(args))


if __name__ == "__main__":
    raise SystemExit(main())
