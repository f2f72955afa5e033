"""Keep the champion served and watched on this machine, with the rules of the cluster.

Starts the predictor, Prometheus, Alertmanager, the receiver that trains anew on drift, and the
exporter of what MLflow knows; all is kept in --directory, and Ctrl-C stops all.
"""

import argparse
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import which

from components import arguments, cli
from components.errors import UserError
from components.io import processes
from monitoring import laptop
from monitoring.laptop import Ports

log = logging.getLogger("monitor")

PROGRAMS = ("prometheus", "alertmanager")


def _check_programs() -> dict[str, str]:
    """Return the programs by name; Debian has its own names for some."""
    found = {name: which(name) or which(f"prometheus-{name}") or "" for name in PROGRAMS}
    if missing := [name for name, path in found.items() if not path]:
        raise UserError(f"{' and '.join(missing)} not found; on Debian: make packages")
    return found


@contextmanager
def watching(
    directory: Path,
    ports: Ports,
    retrain: Sequence[str],
    predictor: str = "local",
    times: float = 1,
    cool_down: float = 86_400,
    silence: float = 300,
) -> Iterator[None]:
    """Run receiver, exporter, Alertmanager and Prometheus on loopback while the block runs."""
    programs = _check_programs()
    laptop.write(directory, ports, predictor, times)
    receiver = [sys.executable, "-m", "monitoring.receiver", "--port", str(ports.receiver)]
    receiver += ["--token-file", f"{directory}/token", "--state", f"{directory}/starts.json"]
    receiver += ["--cool-down", str(cool_down), "--silence", str(silence), "--", *retrain]
    exporter = [sys.executable, "-m", "monitoring.exporter", "--port", str(ports.exporter)]
    alertmanager = [programs["alertmanager"], f"--config.file={directory}/alertmanager.yml"]
    alertmanager += [f"--storage.path={directory}/alertmanager", "--cluster.listen-address="]
    alertmanager += [f"--web.listen-address=127.0.0.1:{ports.alertmanager}"]
    prometheus = [programs["prometheus"], f"--config.file={directory}/prometheus.yml"]
    prometheus += [f"--storage.tsdb.path={directory}/prometheus"]
    prometheus += [laptop.faster("--rules.alert.resend-delay=1m", times)]
    prometheus += [f"--web.listen-address=127.0.0.1:{ports.prometheus}"]
    with ExitStack() as stack:
        for name, command, port, path in (
            ("receiver", receiver, ports.receiver, "heartbeat"),
            ("exporter", exporter, ports.exporter, "favicon.ico"),  # all else reads MLflow
            ("alertmanager", alertmanager, ports.alertmanager, "-/ready"),
            ("prometheus", prometheus, ports.prometheus, "-/ready"),
        ):
            ready = partial(processes.answers, f"http://127.0.0.1:{port}/{path}")
            stack.enter_context(processes.running(command, ready, directory / f"{name}.log"))
        yield


@contextmanager
def serving(directory: Path, ports: Ports, model: str, *flags: str) -> Iterator[None]:
    """Serve a model, and keep what it is asked in ``directory``/captured, while the block runs."""
    command = [sys.executable, "-m", "serving", "--model_uri", model, "--watch_seconds", "5"]
    command += ["--http_port", str(ports.predictor), "--grpc_port", str(ports.grpc)]
    command += ["--capture", str(directory / "captured"), *flags]
    directory.mkdir(parents=True, exist_ok=True)
    ready = partial(processes.answers, f"http://127.0.0.1:{ports.predictor}/v1/models/sentiment")
    with processes.running(command, ready, directory / "predictor.log"):
        yield


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.local", description=__doc__)
    add = parser.add_argument
    add("--model", default="models:/sentiment@champion", help="default: %(default)s")
    add("--directory", type=Path, default=Path("monitor"), help="default: %(default)s")
    for name, port in Ports()._asdict().items():
        add(f"--{name}-port", type=arguments.port, default=port, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    directory = args.directory.resolve()
    ports = Ports(*(getattr(args, f"{name}_port") for name in Ports._fields))

    def work() -> None:
        for name, port in ports._asdict().items():
            if not processes.free(port):
                raise UserError(f"--{name}-port {port}: something listens there already")
        retrain = [
            sys.executable,
            "-m",
            "monitoring.retrain",
            "--captured",
            f"{directory}/captured",
        ]
        with serving(directory, ports, args.model), watching(directory, ports, retrain):
            for name, port in ports._asdict().items():
                log.info("%s on http://127.0.0.1:%d", name, port)
            threading.Event().wait()

    return cli.run("monitor", work)


if __name__ == "__main__":
    raise SystemExit(main())
