"""Serve on /metrics what became of the pipelines: runs on Kubeflow, and MLflow's registry.

Everything is read when Prometheus asks, so a restart forgets nothing.
"""

import argparse
import logging
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from components import cli
from components.arguments import port
from components.errors import UnavailableError, UserError
from monitoring import registry_metrics, run_metrics

log = logging.getLogger("exporter")

PORT = 9096
# Prometheus asks again in a minute, and waits for an answer for less than what MLflow would take;
# not for whoever started this to say: it would hand down what is right for its own requests
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

Read = Callable[[], Iterator[Metric]]


class PipelineMetrics(Collector):
    """Reads its sources anew each time; one that cannot be read is said to be down."""

    def __init__(self, sources: dict[str, Read]) -> None:
        self._sources = sources

    def describe(self) -> list[Metric]:
        return []  # else they were read at the start to learn the names

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "pipeline_source_up", "Whether a source could be read", labels=["source"]
        )
        for source, read in self._sources.items():
            try:
                found = list(read())
            except (UserError, UnavailableError) as error:
                log.warning("%s", error)
                found = []
            up.add_metric([source], bool(found))
            yield from found
        yield up


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.exporter", description=__doc__)
    parser.add_argument("--name", default="sentiment", help="of the model; default: %(default)s")
    parser.add_argument("--host", help="of a Kubeflow Pipelines server; default: there is none")
    parser.add_argument("--namespace", help="whose runs, where the server has several users")
    parser.add_argument("--token-file", type=Path, help="default: KFP_TOKEN or KFP_COOKIE")
    parser.add_argument("--address", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=port, default=PORT, help="default: %(default)s")
    return parser


def sources(args: argparse.Namespace) -> dict[str, Read]:
    found: dict[str, Read] = {"mlflow": partial(registry_metrics.read, args.name)}
    if args.host:
        host = args.host.rstrip("/")
        found["kubeflow"] = partial(run_metrics.read, host, args.namespace, args.token_file)
    return found


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        os.environ.update(PATIENCE)
        try:
            server, thread = start_http_server(args.port, args.address)
        except OSError as error:
            where = f"--address {args.address} --port {args.port}"
            raise UserError(f"{where}: {error.strerror}") from error
        REGISTRY.register(PipelineMetrics(sources(args)))
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
        log.info("metrics on port %d", args.port)
        thread.join()

    return cli.run("exporter", work)


if __name__ == "__main__":
    raise SystemExit(main())
