"""Serve the model with KServe: v1 and v2 over HTTP, v2 over gRPC, and /metrics."""

import argparse
import copy
import logging
import os
import sys
import warnings
from typing import Any

import kserve.logging
from fastapi.exceptions import FastAPIDeprecationWarning
from kserve import ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound

from serving import drain, page
from serving.metrics import RequestMetrics
from serving.predictor import SentimentPredictor
from serving.registry import SourceError


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
    parser.set_defaults(model_name="sentiment", enable_latency_logging=False)
    return parser


def log_config() -> dict[str, Any]:
    """Return KServe's logging without its lines per request, and without callers' mistakes."""
    config: dict[str, Any] = copy.deepcopy(kserve.logging.KSERVE_LOG_CONFIG)
    for name in ("uvicorn.access", "kserve.trace"):
        config["loggers"][name]["level"] = "WARNING"
    config["filters"] = {"no_caller_mistakes": {"()": lambda: _is_ours}}
    config["handlers"]["kserve"]["filters"] = ["no_caller_mistakes"]
    return config


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a record is about us: a 4xx goes to its caller, with no traceback here."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, InvalidInput | ModelNotFound)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.workers != 1:
        parser().error("--workers: one worker a pod, and more pods, is what is supported")
    kserve.logging.configure_logging(log_config())
    warnings.simplefilter("ignore", FastAPIDeprecationWarning)  # of KServe's own response class
    predictor = SentimentPredictor(args.model_name, args.model_uri, args.model_version)
    try:
        predictor.load()
    except SourceError as error:
        print(f"serving: error: {error}", file=sys.stderr)
        return 1
    model_server.app.add_middleware(RequestMetrics)
    page.install(model_server.app)
    drain.install()
    ModelServer(
        http_port=args.http_port,
        grpc_port=args.grpc_port,
        enable_grpc=args.enable_grpc,
        enable_latency_logging=args.enable_latency_logging,
    ).start([predictor])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
