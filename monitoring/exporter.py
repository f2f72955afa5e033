"""Export the state of MLflow's registry and of Kubeflow's runs on /metrics.

Both are read at each scrape, so a restart of the exporter loses nothing.
"""

import argparse
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import kfp
import mlflow
from kfp_server_api import V2beta1Run
from mlflow.entities import Run
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from components import cli
from components.cli import port
from components.errors import UnavailableError, UserError
from components.io import registry
from monitoring.live import read_live
from monitoring.services import LABELS, WatchedService, read_services
from monitoring.settings import NAME, NAMESPACE, Ports, listen_address
from pipelines.client import client_errors, connect, run_state

log = logging.getLogger("exporter")

# Override the environment: MLflow's usual retries outlast a Prometheus scrape.
MLFLOW_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
NEWEST_MOVES = 50  # a time series each
NEWEST_RUNS = 100  # one page of Kubeflow's API
DECISIONS = ("promoted", "refused", "rolled_back")

Source = Callable[[], Iterable[Metric]]


class PipelineMetrics(Collector):
    """Reads every source at each scrape; a source that fails is reported as down.

    The sources are read at the same time: the scrape takes as long as the slowest.
    The keys of ``sources`` are the values of the labels ``namespace``, ``service`` and ``source``.
    """

    def __init__(self, sources: dict[tuple[str, str, str], Source]) -> None:
        self._sources = sources

    def describe(self) -> list[Metric]:
        return []  # or registration would read every source to learn the names

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "pipeline_source_up", "Whether a source could be read", labels=[*LABELS, "source"]
        )
        families: dict[str, Metric] = {}
        with ThreadPoolExecutor(len(self._sources)) as pool:
            results = list(pool.map(_read, self._sources.values()))
        for labels, metrics in zip(self._sources, results, strict=True):
            up.add_metric(labels, bool(metrics))
            for metric in metrics:  # one family of each name, with the samples of all services
                families.setdefault(metric.name, metric)
                if families[metric.name] is not metric:
                    families[metric.name].samples += metric.samples
        yield from families.values()
        yield up


def _read(source: Source) -> list[Metric]:
    """Return the metrics of a source, or none if it fails."""
    try:
        return list(source())
    except (UserError, UnavailableError) as error:
        log.warning("%s", error)
        return []


def read_registry(service: WatchedService) -> Iterator[Metric]:
    """Yield versions, aliases, decisions, deployments and live accuracy of a service's model."""
    model = service.model
    with registry.connected() as client:
        versions = client.search_model_versions(f"name = '{model}'", max_results=registry.MOST_RUNS)
        counted = GaugeMetricFamily("pipeline_version_count", "Versions registered", labels=LABELS)
        counted.add_metric(service.labels, len(versions))
        yield counted
        yield from _alias_metrics(client, service)
        records = _ended_runs(client, f"{model}-promotions")
        # the others are of commands that failed or were killed before the alias moved
        decisions = [run for run in records if run.info.status == "FINISHED"]
        always = [(outcome,) for outcome in DECISIONS]
        yield from _move_metrics(service, "decision", decisions, ["outcome"], always)
        deployments = _ended_runs(client, f"{model}-deployments")
        yield from _move_metrics(service, "deployment", deployments, ["overlay", "outcome"])
        yield from read_live(client, service)


def _alias_metrics(client: mlflow.MlflowClient, service: WatchedService) -> Iterator[Metric]:
    registered = GaugeMetricFamily(
        "pipeline_registered_timestamp_seconds",
        "When the version that an alias points to was registered",
        labels=[*LABELS, "alias", "version"],
    )
    measured = GaugeMetricFamily(
        "pipeline_model_measure",
        "What was measured of the version that an alias points to",
        labels=[*LABELS, "alias", "version", "measure"],
    )
    for alias in (registry.CHAMPION, registry.CHALLENGER):
        version = registry.alias_version(client, service.model, alias)
        if version is None:
            continue
        number = str(version.version)
        registered.add_metric([*service.labels, alias, number], version.creation_timestamp / 1000)
        for measure, value in client.get_run(str(version.run_id)).data.metrics.items():
            measured.add_metric([*service.labels, alias, number, measure], value)
    yield from (registered, measured)


def _ended_runs(client: mlflow.MlflowClient, experiment_name: str) -> list[Run]:
    """Return the ended runs of an experiment, newest first; [] if there is no such experiment."""
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        return []
    return client.search_runs(
        [experiment.experiment_id],
        "attributes.status != 'RUNNING'",
        max_results=registry.MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )


def _move_metrics(
    service: WatchedService,
    kind: str,
    runs: Iterable[Run],
    labels: list[str],
    always: Iterable[tuple[str, ...]] = (),
) -> Iterator[Metric]:
    """Count the moves from one version to another by ``labels``, and give the newest their time.

    Counts of the label values in ``always`` are 0, not absent, without such a move.
    """
    counts: Counter[tuple[str, ...]] = Counter(dict.fromkeys(always, 0))
    times: dict[tuple[str, ...], float] = {}
    for run in runs:
        tags = run.data.tags
        if not {*labels, "from", "to"} <= tags.keys():
            continue  # not a record of a stage or of a deployment
        key = tuple(tags[label] for label in labels)
        counts[key] += 1
        if len(times) < NEWEST_MOVES:
            times.setdefault((*key, tags["from"], tags["to"]), run.info.start_time / 1000)
    counted = CounterMetricFamily(
        f"pipeline_{kind}_count", f"Each {kind} in MLflow", labels=[*LABELS, *labels]
    )
    for key, count in counts.items():
        counted.add_metric((*service.labels, *key), count)
    dated = GaugeMetricFamily(
        f"pipeline_{kind}_timestamp_seconds",
        f"When a {kind} last moved the model from one version to another",
        labels=[*LABELS, *labels, "before", "after"],
    )
    for key, time in times.items():
        dated.add_metric((*service.labels, *key), time)
    yield from (counted, dated)


def read_runs(
    host: str, namespace: str | None, token_file: Path | None, services: Sequence[WatchedService]
) -> Iterator[Metric]:
    """Yield states, ends and durations of the newest runs on a Kubeflow Pipelines server.

    A run is of the services whose model it has as the parameter ``name``; one of another model has
    empty labels.
    """
    with client_errors(host):
        client = connect(host, namespace, token_file)
        names = _pipeline_names(client, namespace)
        runs = client.list_runs(
            page_size=NEWEST_RUNS, sort_by="created_at desc", namespace=namespace
        ).runs
    states: Counter[tuple[str, ...]] = Counter()
    ends: dict[tuple[str, ...], float] = {}
    durations: dict[tuple[str, ...], float] = {}
    for run in runs or []:
        model, state = _model(run), run_state(run)
        for service in [s.labels for s in services if s.model == model] or [("", "")]:
            pipeline = (*service, _pipeline_name(run, names))
            states[*pipeline, state] += 1
            if run.finished_at is not None and run.finished_at.year > 1970:
                ends.setdefault((*pipeline, state), run.finished_at.timestamp())
                durations.setdefault(pipeline, (run.finished_at - run.created_at).total_seconds())
    labels = [*LABELS, "pipeline", "state"]
    counted = GaugeMetricFamily("pipeline_runs", "The newest runs", labels=labels)
    dated = GaugeMetricFamily(
        "pipeline_run_timestamp_seconds", "When the newest of them ended", labels=labels
    )
    timed = GaugeMetricFamily(
        "pipeline_run_duration_seconds", "Duration of the run that ended last", labels=labels[:-1]
    )
    for key, count in states.items():
        counted.add_metric(key, count)
    for key, end in ends.items():
        dated.add_metric(key, end)
    for key, seconds in durations.items():
        timed.add_metric(key, seconds)
    yield from (counted, dated, timed)


def _model(run: V2beta1Run) -> str:
    """Return the registered model that a run trains or checks, by default that of the pipelines."""
    parameters = run.runtime_config.parameters if run.runtime_config else None
    return str((parameters or {}).get("name", NAME))


def _pipeline_names(client: kfp.Client, namespace: str | None) -> dict[str, str]:
    """Return the names of the pipelines by their ids."""
    pipelines = client.list_pipelines(page_size=100, namespace=namespace).pipelines
    return {pipeline.pipeline_id: pipeline.display_name for pipeline in pipelines or []}


def _pipeline_name(run: V2beta1Run, names: dict[str, str]) -> str:
    reference = run.pipeline_version_reference
    return names.get(reference.pipeline_id, "other") if reference else "other"


def sources(args: argparse.Namespace) -> dict[tuple[str, str, str], Source]:
    """Return what the command line asks to read, by ``namespace``, ``service`` and ``source``."""
    services = read_services(args.services)
    readers: dict[tuple[str, str, str], Source] = {
        (*service.labels, "mlflow"): partial(read_registry, service) for service in services
    }
    if args.host:
        host = args.host.rstrip("/")
        read = partial(read_runs, host, args.namespace, args.token_file, services)
        readers[NAMESPACE, "", "kubeflow"] = read  # an alert without a namespace reaches no one
    return readers


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.exporter", description=__doc__)
    add = parser.add_argument
    add("--services", type=Path, help="YAML file; default: sentiment in the namespace sentiment")
    add("--host", help="address of a Kubeflow Pipelines server; default: export MLflow only")
    add("--namespace", help="namespace of the runs, where the server has several users")
    add("--token-file", type=Path, help="default: the environment, KFP_TOKEN or KFP_COOKIE")
    add("--address", default="127.0.0.1", help="to listen on; :: is all; default: %(default)s")
    add("--port", type=port, default=Ports().exporter, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        os.environ.update(MLFLOW_LIMITS)
        metrics = PipelineMetrics(sources(args))
        try:
            server, thread = start_http_server(args.port, listen_address(args.address))
        except OSError as error:
            flags = f"--address {args.address} --port {args.port}"
            raise UserError(f"{flags}: {error.strerror}") from error
        REGISTRY.register(metrics)
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
        log.info("metrics on port %d", args.port)
        thread.join()

    return cli.run("exporter", work)


if __name__ == "__main__":
    raise SystemExit(main())
