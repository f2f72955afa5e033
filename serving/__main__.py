"""Serve the model with KServe: v1 and v2 over HTTP, v2 over gRPC, and /metrics."""

import argparse
import gc
import os
import socket
import sys

from kserve import model_server
from prometheus_client import REGISTRY

from serving import kserve_patches, limits, metrics
from serving.capture import targets
from serving.capture.targets import TargetError
from serving.capture.writer import Capture
from serving.http import protocol
from serving.in_flight import InFlight
from serving.model.collector import ModelCollector
from serving.model.loading import ServedModel
from serving.model.registry import SourceError
from serving.model.watch import Watch
from serving.predictor import SentimentPredictor
from serving.server import Server

# for NO_PROXY; urllib would need [::1], too, which httpx 0.28 takes for a wrong port
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description=__doc__, parents=[model_server.parser]
    )
    parser.add_argument(
        "--model_uri",
        default=os.environ.get("MODEL_URI", "/mnt/models"),
        help="a folder, models:/NAME@ALIAS or models:/NAME/VERSION; default: MODEL_URI,"
        " or else /mnt/models",
    )
    parser.add_argument(
        "--model_version",
        type=_version,
        default=os.environ.get("MODEL_VERSION"),
        help="the version to report for a folder; default: MODEL_VERSION, or else its digest",
    )
    parser.add_argument(
        "--watch_seconds",
        type=_seconds,
        default=0.0,
        help="check --model_uri this often for another model, and load it; default: never",
    )
    parser.add_argument(
        "--model_control",
        choices=["none", "explicit"],
        default="none",
        help="whether clients may load and unload the model over v2 (default: %(default)s)",
    )
    parser.add_argument(
        "--capture",
        help="write requests, predictions and feedback to this folder or s3://bucket/prefix/;"
        " default: capture nothing, and take no feedback",
    )
    parser.add_argument(
        "--capture_sample",
        type=_fraction,
        default=1.0,
        help="the fraction of requests to write, from 0 to 1 (default: %(default)s)",
    )
    limits.add_flags(parser.add_argument_group("limits"))
    parser.set_defaults(model_name="sentiment", enable_latency_logging=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.workers != 1:
        parser().error("--workers: only one worker a pod is supported; run more pods")
    try:
        in_flight = InFlight(limits.from_flags(args))
    except ValueError as error:
        parser().error(str(error))
    for flag in ("http_port", "grpc_port"):
        if reason := _port_error(getattr(args, flag)):
            print(f"serving: error: --{flag} {getattr(args, flag)}: {reason}", file=sys.stderr)
            return 1
    _bypass_proxies()
    kserve_patches.configure_logging(protocol.LOGGER_NAME)
    served = ServedModel(args.model_uri, args.model_version)
    try:
        capture = _start_capture(args)
        predictor = SentimentPredictor(args.model_name, served, in_flight.scheduler, capture)
        predictor.load()
    except (SourceError, TargetError) as error:
        print(f"serving: error: {error}", file=sys.stderr)
        return 1
    metrics.IN_FLIGHT.set_function(lambda: in_flight.requests)
    REGISTRY.register(ModelCollector(served))
    if args.watch_seconds:
        Watch(served, args.watch_seconds)
    gc.collect()
    gc.freeze()  # what exists now stays; each full collection of it would pause the loop for 0.1 s
    Server(args, in_flight, predictor).start([predictor])
    if capture:
        capture.stop()
    return 0


def _start_capture(args: argparse.Namespace) -> Capture | None:
    if not args.capture:
        return None
    return Capture(args.model_name, targets.open_target(args.capture), args.capture_sample)


def _bypass_proxies() -> None:
    """Exempt this machine, which may run MLflow or S3, from the proxies of the environment.

    Libraries read ``no_proxy`` or ``NO_PROXY`` first, so both get the hosts. ``*`` exempts all
    hosts, but only where it stands alone.
    """
    lower, upper = os.environ.get("no_proxy"), os.environ.get("NO_PROXY")
    for name, value in (("no_proxy", lower or upper or ""), ("NO_PROXY", upper or lower or "")):
        hosts = [host for each in value.split(",") if (host := each.strip())]
        if hosts != ["*"]:
            os.environ.update({name: ",".join(dict.fromkeys([*hosts, *LOOPBACK]))})


def _port_error(port: int) -> str | None:
    """Return why the port is unusable; KServe would fail with a traceback, or not at all."""
    try:
        if socket.has_dualstack_ipv6():  # then the servers listen by IPv4 and by IPv6
            socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True).close()
        else:
            socket.create_server(("", port)).close()
    except OSError as error:
        return str(error.strerror).partition(" (")[0]  # "Address already in use (while …"
    except OverflowError:
        return "not a port from 0 to 65535"
    return None


def _version(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise argparse.ArgumentTypeError(
            f"{text!a} cannot be sent in the header x-model-version: it must be of printable ASCII"
            " characters, without spaces around it"
        )
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def _fraction(text: str) -> float:
    value = float(text.removesuffix("%"))
    if text.endswith("%") or not 0 <= value <= 1:
        hint = f"; {value:g}% is {value / 100:g}" if 0 <= value <= 100 else ""
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1{hint}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
