"""Serve the model with KServe: v1 and v2 over HTTP, v2 over gRPC, and /metrics."""

import argparse
import copy
import gc
import os
import sys
import warnings
from typing import Any

import kserve.logging
from fastapi.exceptions import FastAPIDeprecationWarning
from kserve import model_server

from serving import drain, limits, metrics
from serving.load import Load
from serving.predictor import SentimentPredictor
from serving.server import Server
from serving.source import SourceError


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
    limits.add_flags(parser.add_argument_group("limits"))
    parser.set_defaults(model_name="sentiment", enable_latency_logging=False)
    return parser


def log_config() -> dict[str, Any]:
    """Return KServe's logging without its lines per request."""
    config: dict[str, Any] = copy.deepcopy(kserve.logging.KSERVE_LOG_CONFIG)
    for name in ("uvicorn.access", "kserve.trace"):
        config["loggers"][name]["level"] = "WARNING"
    config["loggers"]["uvicorn.error.requests"] = {"level": "ERROR"}  # see serving.protocol
    return config


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.workers != 1:
        parser().error("--workers: one worker a pod, and more pods, is what is supported")
    try:
        load = Load(limits.from_flags(args))
    except ValueError as error:
        parser().error(str(error))
    kserve.logging.configure_logging(log_config())
    warnings.simplefilter("ignore", FastAPIDeprecationWarning)  # of KServe's own response class
    predictor = SentimentPredictor(args.model_name, args.model_uri, args.model_version, load)
    try:
        predictor.load()
    except SourceError as error:
        print(f"serving: error: {error}", file=sys.stderr)
        return 1
    metrics.IN_FLIGHT.set_function(lambda: load.requests)
    drain.install()
    gc.collect()
    gc.freeze()  # what is here now stays: looking through it for garbage stops all for 0.1 s
    Server(args, load).start([predictor])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
