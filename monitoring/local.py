"""Serve the champion and watch it on this machine, with the alert rules of the cluster.

Runs the predictor, Prometheus, Alertmanager, the receiver that retrains on drift, and the exporter
of MLflow's registry, until Ctrl-C. Their files are in --directory.
"""

import argparse
import json
import logging
import re
import secrets
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import which

import yaml

from components import cli
from components.errors import UserError
from components.io import processes
from monitoring.settings import (
    EXPORTER_JOB,
    MANIFESTS,
    NAME,
    NAMESPACE,
    RECEIVER_JOB,
    Ports,
)

log = logging.getLogger("monitor")

CONFIG = MANIFESTS / "config"
PROGRAMS = ("prometheus", "alertmanager")
DURATION = re.compile(r"(?<![\w.])(\d+)([smhdw])(?![\w])")
MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def speed_up(text: str, times: float) -> str:
    """Divide every duration in a configuration, such as 5m, by ``times``."""
    if times == 1:
        return text

    def divide(match: re.Match[str]) -> str:
        milliseconds = int(match[1]) * MILLISECONDS[match[2]]
        return f"{max(round(milliseconds / times), 1) if milliseconds else 0}ms"

    return DURATION.sub(divide, text)


def local_routes(text: str, receiver_port: int, token: Path) -> str:
    """Return Alertmanager's configuration with the local receiver, and without Slack."""
    config = yaml.safe_load(text)
    for receiver in config["receivers"]:
        receiver.pop("slack_configs", None)
        for webhook in receiver.get("webhook_configs", []):
            path = webhook["url"].rpartition("/")[2]
            webhook["url"] = f"http://127.0.0.1:{receiver_port}/{path}"
            webhook["http_config"]["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(config, sort_keys=False)


def write_config(directory: Path, ports: Ports, predictor: str = "local", times: float = 1) -> None:
    """Write the files that Prometheus, Alertmanager and the receiver read.

    ``predictor`` is the label that the predictor's metrics get. Time runs ``times`` as fast as
    on the cluster: every duration of rules and routes is divided by it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    token = directory / "token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe())
    for source, name in (("rules.yml", "rules.yml"), ("prometheus-local.yml", "prometheus.yml")):
        (directory / name).write_text(speed_up((CONFIG / source).read_text(), times))
    routes = local_routes((CONFIG / "alertmanager.yml").read_text(), ports.receiver, token)
    (directory / "alertmanager.yml").write_text(speed_up(routes, times))
    namespace = {"namespace": NAMESPACE}
    service = {"service": NAME, "component": "predictor", "predictor": predictor}
    for job, port, labels in (
        (NAME, ports.predictor, namespace | service),
        (RECEIVER_JOB, ports.receiver, namespace),
        (EXPORTER_JOB, ports.exporter, namespace),
        ("alertmanager", ports.alertmanager, {}),
    ):
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        (directory / f"{job}.json").write_text(json.dumps(targets))


@contextmanager
def watching(
    directory: Path,
    ports: Ports,
    retrain: Sequence[str],
    times: float = 1,
    cool_down: float = 86_400,
    heartbeat_timeout: float = 300,
) -> Iterator[None]:
    """Run receiver, exporter, Alertmanager and Prometheus on loopback while the block runs.

    The receiver starts the command ``retrain`` on drift.
    """
    programs = _find_programs()
    write_config(directory, ports, times=times)
    receiver = [sys.executable, "-m", "monitoring.receiver", "--port", str(ports.receiver)]
    receiver += ["--token-file", f"{directory}/token", "--state", f"{directory}/starts"]
    receiver += ["--cool-down", str(cool_down), "--silence", str(heartbeat_timeout)]
    receiver += ["--", *retrain]
    exporter = [sys.executable, "-m", "monitoring.exporter", "--port", str(ports.exporter)]
    alertmanager = [programs["alertmanager"], f"--config.file={directory}/alertmanager.yml"]
    alertmanager += [f"--storage.path={directory}/alertmanager", "--cluster.listen-address="]
    alertmanager += [f"--web.listen-address=127.0.0.1:{ports.alertmanager}"]
    prometheus = [programs["prometheus"], f"--config.file={directory}/prometheus.yml"]
    prometheus += [f"--storage.tsdb.path={directory}/prometheus"]
    prometheus += [speed_up("--rules.alert.resend-delay=1m", times)]
    prometheus += [f"--web.listen-address=127.0.0.1:{ports.prometheus}"]
    with ExitStack() as stack:
        for name, command, port, path in (
            ("receiver", receiver, ports.receiver, "heartbeat"),
            ("exporter", exporter, ports.exporter, "favicon.ico"),  # other paths read MLflow
            ("alertmanager", alertmanager, ports.alertmanager, "-/ready"),
            ("prometheus", prometheus, ports.prometheus, "-/ready"),
        ):
            ready = partial(processes.answers, f"http://127.0.0.1:{port}/{path}")
            stack.enter_context(processes.running(command, ready, directory / f"{name}.log"))
        yield


def _find_programs() -> dict[str, str]:
    """Return the paths of Prometheus and Alertmanager, which Debian calls prometheus-…."""
    paths = {name: which(name) or which(f"prometheus-{name}") or "" for name in PROGRAMS}
    if missing := [name for name, path in paths.items() if not path]:
        raise UserError(f"{' and '.join(missing)} not found; on Debian: make packages")
    return paths


@contextmanager
def serving(directory: Path, ports: Ports, model: str) -> Iterator[None]:
    """Serve a model while the block runs, and capture its requests in ``directory``/captured."""
    command = [sys.executable, "-m", "serving", "--model_uri", model, "--watch_seconds", "5"]
    command += ["--http_port", str(ports.predictor), "--grpc_port", str(ports.grpc)]
    command += ["--capture", str(directory / "captured")]
    directory.mkdir(parents=True, exist_ok=True)
    ready = partial(processes.answers, f"http://127.0.0.1:{ports.predictor}/v1/models/{NAME}")
    with processes.running(command, ready, directory / "predictor.log"):
        yield


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.local", description=__doc__)
    add = parser.add_argument
    add("--model", default=f"models:/{NAME}@champion", help="default: %(default)s")
    add("--directory", type=Path, default=Path("monitor"), help="default: %(default)s")
    for name, port in Ports()._asdict().items():
        add(f"--{name}-port", type=cli.port, default=port, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    directory = args.directory.resolve()
    ports = Ports(*(getattr(args, f"{name}_port") for name in Ports._fields))

    def work() -> None:
        for name, port in ports._asdict().items():
            if not processes.free(port):
                raise UserError(f"--{name}-port {port}: something listens there already")
        retrain = [sys.executable, "-m", "monitoring.retrain"]
        retrain += ["--captured", f"{directory}/captured", "--queues", f"{directory}/queues"]
        with serving(directory, ports, args.model), watching(directory, ports, retrain):
            for name, port in ports._asdict().items():
                log.info("%s on http://127.0.0.1:%d", name, port)
            threading.Event().wait()

    return cli.run("monitor", work)


if __name__ == "__main__":
    raise SystemExit(main())
