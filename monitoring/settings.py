"""Names, ports and limits that monitoring's code, rules and dashboards share."""

import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from components.errors import UserError

ROOT = Path(__file__).parent.parent
MANIFESTS = ROOT / "manifests/monitoring"
PARAMS = Path("params.yaml")

NAME = "sentiment"  # of the service, and of its registered model, where no other is named
NAMESPACE = "sentiment"  # of that service, and of receiver and exporter
RECEIVER_JOB, EXPORTER_JOB = f"{NAME}-receiver", f"{NAME}-exporter"
PREDICTORS = 'component="predictor"'  # selects the metrics of all services' predictors

# objectives, which alert rules and dashboards share; docs/watch.md explains them
ERROR_BUDGET = 0.001  # share of requests that may get a server error
LATENCY_SECONDS = 0.1  # for a request with one review
MODEL_DAYS = 30  # since the model was registered
LIVE_DAYS = 30  # since the last labelled text came: what is older does not alert


class Ports(NamedTuple):
    predictor: int = 8080
    grpc: int = 8081
    prometheus: int = 9090
    alertmanager: int = 9093
    receiver: int = 9095
    exporter: int = 9096


def listen_address(address: str) -> str:
    """Return the address to listen on: 0.0.0.0 for ``::`` on a machine without IPv6.

    Elsewhere ``::`` takes connections by IPv4, too.
    """
    return "0.0.0.0" if address == "::" and not socket.has_dualstack_ipv6() else address  # noqa: S104


@dataclass(frozen=True)
class DriftLimits:
    """The section ``monitor`` of params.yaml, the home of these numbers.

    ``max_psi`` is the population stability index above which requests have drifted, ``min_rows``
    the fewest captured requests that are compared, ``newest`` the most.
    """

    max_psi: float
    min_rows: int
    newest: int


def drift_limits(path: Path = PARAMS) -> DriftLimits:
    """Read the drift limits; by default those of the working directory's project.

    Raises:
        UserError: the file cannot be read, or a limit is missing or not above 0.
    """
    with _reading(path, "monitor needs max_psi, min_rows and newest"):
        section = yaml.safe_load(path.read_text())["monitor"]
        limits = DriftLimits(
            float(section["max_psi"]), int(section["min_rows"]), int(section["newest"])
        )
        if not (0 < limits.max_psi < math.inf and limits.min_rows > 0 and limits.newest > 0):
            raise ValueError("each must be above 0")
    return limits


def min_accuracy(path: Path = PARAMS) -> float:
    """Read the floor of the gate, ``gate.min_accuracy``, which the live accuracy must reach, too.

    Raises:
        UserError: the file cannot be read, or the floor is missing or no share.
    """
    with _reading(path, "gate needs min_accuracy"):
        floor = float(yaml.safe_load(path.read_text())["gate"]["min_accuracy"])
        if not 0 <= floor <= 1:
            raise ValueError("it must be from 0 to 1")
    return floor


@contextmanager
def _reading(path: Path, needed: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {needed}: {error}") from error
