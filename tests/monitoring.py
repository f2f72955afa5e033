"""A real Prometheus, and the history that pipelines leave in MLflow and on Kubeflow."""

import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import yaml

from components.io import registry
from components.labelling import live
from components.labelling.live import Interval, LiveAccuracy
from monitoring.settings import MANIFESTS
from tests.conftest import free_port, running
from tests.kubeflow import StandIn


@dataclass(frozen=True)
class Prometheus:
    address: str

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response.

        Raises:
            ValueError: Prometheus refuses the request; the message says why.
        """
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error

    def query(self, expr: str) -> list[dict[str, Any]]:
        return self.get("query", query=expr)["result"]

    def wait_for(self, expr: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.query(expr):
            assert time.monotonic() < deadline, f"{expr} still has no result"
            time.sleep(0.2)


@contextmanager
def prometheus(jobs: dict[str, list[tuple[str, dict[str, str]]]], directory: Path) -> Iterator:
    """Scrape each job's targets (address, labels), and evaluate our rules, until the block ends."""
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(MANIFESTS / "config/rules.yml")],
        "scrape_configs": [
            {
                "job_name": job,
                "honor_labels": True,
                "static_configs": [
                    {"targets": [address], "labels": labels} for address, labels in targets
                ],
            }
            for job, targets in jobs.items()
        ],
    }
    directory.mkdir()
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = ["prometheus", f"--config.file={directory}/prometheus.yml"]
    command += [f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, f"http://127.0.0.1:{port}/-/ready", directory):
        yield Prometheus(f"http://127.0.0.1:{port}")


LIVE = LiveAccuracy(
    version="2",
    since="2026-11-20T08:00:00+00:00",
    until="2026-11-27T08:00:00+00:00",
    captured=4_000,
    accuracy=Interval(0.9, 0.86, 0.93, 250),
    precision={"negative": Interval(0.88, 0.82, 0.92, 120)},
    recall={"positive": Interval(0.91, 0.85, 0.95, 130)},
)


def record(client: mlflow.MlflowClient, name: str = "sentiment") -> None:
    """Write two versions, three decisions, two deployments and an accuracy, as the stages do."""
    client.create_registered_model(name)
    experiment = registry.experiment_id(client, name)
    for number, accuracy in (("1", 0.91), ("2", 0.93)):
        run = client.create_run(experiment).info
        client.log_metric(run.run_id, "accuracy", accuracy)
        client.log_metric(run.run_id, "log_loss", 1 - accuracy)
        client.set_terminated(run.run_id)
        version = client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id)
        assert str(version.version) == number
    client.set_registered_model_alias(name, registry.CHALLENGER, "2")
    for outcome, before, after in (
        ("promoted", "none", "1"),
        ("refused", "1", "2"),
        ("promoted", "1", "2"),
    ):
        registry.decide(client, name, registry.Decision(outcome, before, after, "a test"))
    deployments = registry.experiment_id(client, f"{name}-deployments")
    for outcome in ("rolled_back", "deployed"):
        tags = {"overlay": "staging", "outcome": outcome, "from": "1", "to": "2"}
        client.set_terminated(client.create_run(deployments, tags=tags).info.run_id)
    live.write(client, name, LIVE)


@contextmanager
def kubeflow() -> Iterator[StandIn]:
    """Run a stand-in for Kubeflow's API server with runs of two pipelines, one running."""
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("training", "monitoring"):
            server.stored["pipelines"].append({"pipeline_id": f"id-{name}", "display_name": name})
        now = datetime.now(UTC)
        for name, state, minutes_ago, minutes, model in (
            ("training", "RUNNING", 1, None, None),
            ("training", "SUCCEEDED", 60, 30, "sentiment"),
            ("training", "FAILED", 120, 20, None),
            ("monitoring", "SUCCEEDED", 180, 5, None),
            ("training", "FAILED", 240, 10, "german"),
            ("training", "FAILED", 300, 10, "flowers"),
        ):
            created = now - timedelta(minutes=minutes_ago)
            end = {}
            if minutes:
                end["finished_at"] = (created + timedelta(minutes=minutes)).isoformat()
            server.stored["runs"].append(
                {
                    "run_id": f"{name}-{minutes_ago}",
                    "state": state,
                    "created_at": created.isoformat(),
                    "pipeline_version_reference": {"pipeline_id": f"id-{name}"},
                    "runtime_config": {"parameters": {"name": model} if model else {}},
                    **end,
                }
            )
        yield server
        server.shutdown()


def fill_variables(expr: str, **variables: str) -> str:
    """Return a dashboard's query with values for its own variables and Grafana's built-in ones."""
    values = {"__rate_interval": "30s", "__range": "1m", **variables}
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], expr)
