"""Load the model and serve it until a signal."""

import argparse
import gc
import os
import socket
import ssl
import sys

from prometheus_client import REGISTRY

from serving import kserve_patches, limits, metrics
from serving.access_log import AccessLog
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
from serving.traces import Traces, TracesError

# for NO_PROXY; urllib would need [::1], too, which httpx 0.28 takes for a wrong port
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def run(args: argparse.Namespace) -> int:
    """Serve with the settings of :func:`serving.flags.parse`; return the exit code."""
    in_flight = InFlight(limits.from_flags(args))
    for flag in ("http_port", "grpc_port") if args.enable_grpc else ("http_port",):
        if reason := _port_error(getattr(args, flag)):
            print(f"serving: error: --{flag} {getattr(args, flag)}: {reason}", file=sys.stderr)
            return 1
    if args.ssl_certfile and (reason := _certificate_error(args.ssl_certfile, args.ssl_keyfile)):
        print(f"serving: error: {reason}", file=sys.stderr)
        return 1
    _bypass_proxies()
    kserve_patches.configure_logging(protocol.LOGGER_NAME)
    served = ServedModel(args.model_uri, args.model_version)
    try:
        traces = Traces(args.model_name) if args.traces == "otlp" else None
        capture = _start_capture(args)
        predictor = SentimentPredictor(args.model_name, served, in_flight.scheduler, capture)
        predictor.load()
    except (SourceError, TargetError, TracesError) as error:
        print(f"serving: error: {error}", file=sys.stderr)
        return 1
    metrics.IN_FLIGHT.set_function(lambda: in_flight.requests)
    REGISTRY.register(ModelCollector(served))
    if traces:
        metrics.observers.append(traces.record)
    if args.access_log == "json":  # after the traces, which give a request without one its trace
        metrics.observers.append(AccessLog(sys.stdout.buffer).write)
    if args.watch_seconds:
        Watch(served, args.watch_seconds)
    gc.collect()
    gc.freeze()  # what exists now stays; each full collection of it would pause the loop for 0.1 s
    Server(args, in_flight, predictor).start([predictor])
    if capture:
        capture.stop()
    if traces:
        traces.stop()
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


def _certificate_error(certificate: str, key: str) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # of which SSLError is one
        return f"--ssl_certfile {certificate}, --ssl_keyfile {key}: {error.strerror or error}"
    return None


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
