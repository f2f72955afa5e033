"""Serve the model with KServe: v1 and v2 over HTTP, v2 over gRPC, and /metrics."""

import argparse
import copy
import gc
import os
import socket
import sys
import warnings
from typing import Any

import kserve.logging
from fastapi.exceptions import FastAPIDeprecationWarning
from kserve import model_server
from prometheus_client import REGISTRY

from serving import limits, metrics
from serving.capture import targets
from serving.capture.targets import TargetError
from serving.capture.writer import Capture
from serving.http import drain, page
from serving.in_flight import Load
from serving.model.registry import SourceError
from serving.model.watch import Watch
from serving.model.window import ModelMetrics
from serving.predictor import SentimentPredictor
from serving.server import Server


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
        default=os.environ.get("MODEL_VERSION"),
        help="the version to report of a folder; default: MODEL_VERSION, or else its digest",
    )
    parser.add_argument(
        "--watch_seconds",
        type=_not_negative,
        default=0.0,
        help="look this often for another model at --model_uri, and take it in; default: never",
    )
    parser.add_argument(
        "--model_control",
        choices=["none", "explicit"],
        default="none",
        help="whether callers may load and unload the model over v2 (default: %(default)s)",
    )
    parser.add_argument(
        "--capture", help="keep requests and answers in this folder or s3://bucket/prefix/"
    )
    parser.add_argument(
        "--capture_sample",
        type=_share,
        default=1.0,
        help="the share of the requests that is kept, from 0 to 1 (default: %(default)s)",
    )
    limits.add_flags(parser.add_argument_group("limits"))
    parser.set_defaults(model_name="sentiment", enable_latency_logging=False)
    return parser


def log_config() -> dict[str, Any]:
    """Return KServe's logging without its lines per request."""
    config: dict[str, Any] = copy.deepcopy(kserve.logging.KSERVE_LOG_CONFIG)
    for name in ("uvicorn.access", "kserve.trace"):
        config["loggers"][name]["level"] = "WARNING"
    config["loggers"]["uvicorn.error.requests"] = {"level": "ERROR"}  # see serving.http.protocol
    return config


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.workers != 1:
        parser().error("--workers: one worker a pod, and more pods, is what is supported")
    try:
        load = Load(limits.from_flags(args))
    except ValueError as error:
        parser().error(str(error))
    for flag in ("http_port", "grpc_port"):
        if reason := _occupied(getattr(args, flag)):
            print(f"serving: error: --{flag} {getattr(args, flag)}: {reason}", file=sys.stderr)
            return 1
    kserve.logging.configure_logging(log_config())
    warnings.simplefilter("ignore", FastAPIDeprecationWarning)  # of KServe's own response class
    try:
        capture = _capture(args)
        predictor = SentimentPredictor(
            args.model_name, args.model_uri, args.model_version, load, capture
        )
        predictor.load()
    except (SourceError, TargetError) as error:
        print(f"serving: error: {error}", file=sys.stderr)
        return 1
    metrics.IN_FLIGHT.set_function(lambda: load.requests)
    REGISTRY.register(ModelMetrics(predictor))
    page.install(model_server.app)
    drain.install()
    if args.watch_seconds:
        Watch(predictor, args.watch_seconds)
    gc.collect()
    gc.freeze()  # what is here now stays: looking through it for garbage stops all for 0.1 s
    Server(args, load, predictor).start([predictor])
    if capture:
        capture.stop()
    return 0


def _capture(args: argparse.Namespace) -> Capture | None:
    if not args.capture:
        return None
    return Capture(args.model_name, targets.target(args.capture), args.capture_sample)


def _occupied(port: int) -> str | None:
    """Return why nobody can listen on a port; the servers would say so in a traceback, or not."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))  # noqa: S104 - as the servers do
    except OSError as error:
        return error.strerror
    except OverflowError:
        return "not a port from 0 to 65535"
    return None


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
