"""Every query of the dashboards, run on a real Prometheus.

Prometheus scrapes two real predictors under load, a stable one and a canary, as those of two
services; a real exporter of a real registry with two models; and a real receiver of alerts.
Kubeflow's API server, which the exporter reads too, is a stand-in. cAdvisor and kube-state-metrics
need a cluster: of their queries only the syntax is checked.
"""

import json
import math
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from components.io import registry, reviews
from components.labelling import live
from components.labelling.live import Interval
from monitoring.dashboards.__main__ import OUTPUT
from serving.model import loading
from tests.conftest import REPO, free_port, running
from tests.integration.test_receiver import Receiver, receiver
from tests.monitoring import LIVE, Prometheus, fill_variables, kubeflow, prometheus, record
from tests.serving import EXPLAIN, INFER, JSON, PREDICT, Server, serving

CLUSTER_ONLY = {
    "CPU throttled": "cAdvisor",
    "Restarts": "kube-state-metrics",
}
NAMESPACE, STABLE, CANARY = "sentiment", "v1", "v2"
SERVICES = ["german", "sentiment"]
VARIABLES = {"namespace": NAMESPACE, "service": "sentiment", "predictor": ".*"}
SERVICES_YAML = (
    "[{namespace: sentiment, service: sentiment}, {namespace: sentiment, service: german}]"
)
LOAD_SECONDS = 8

BOARDS = {p.stem: json.loads(p.read_text()) for p in sorted((REPO / OUTPUT).glob("*.json"))}
PANELS = {
    f"{name}: {panel['title']}": panel
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
}
LOCAL = [name for name, panel in PANELS.items() if panel["title"] not in CLUSTER_ONLY]


@pytest.fixture(scope="module")
def scraped(trained, trained_worse, tmp_path_factory):
    directory = tmp_path_factory.mktemp("dashboards")
    texts = [text[:2_000] for text in reviews.read(trained.test)["text"].iloc[:400]]
    uri = f"sqlite:///{directory}/registry.db"
    port = free_port()
    exporter = [sys.executable, "-m", "monitoring.exporter", "--port", str(port)]
    exporter += ["--services", f"{directory}/services.yaml", "--host"]
    (directory / "services.yaml").write_text(SERVICES_YAML)
    with (
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(2) as threads,
        kubeflow() as kubeflow_api,
        running(
            [*exporter, kubeflow_api.host],
            f"http://127.0.0.1:{port}/",
            directory / "exporter",
            PYTHONPATH=str(REPO),
            MLFLOW_TRACKING_URI=uri,
        ),
        serve_registered(trained, directory / "stable", "1") as stable,
        serve_registered(trained_worse, directory / "canary", "2") as canary,
        receiver(directory, "true", "--services", "services.yaml") as alerts,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        with registry.connected(create=True) as client:
            for name in SERVICES:
                record(client, name)
        labels = {"namespace": NAMESPACE, "component": "predictor"}
        jobs = {
            service: [
                (
                    target(server),
                    labels | {"service": service, "predictor": name, "pod": f"pod-{name}"},
                )
                for name, server in ((STABLE, stable), (CANARY, canary))
            ]
            for service in SERVICES
        } | {
            "sentiment-exporter": [(f"127.0.0.1:{port}", {"namespace": NAMESPACE})],
            "sentiment-receiver": [(target(alerts), {"namespace": NAMESPACE})],
        }
        with prometheus(jobs, directory / "prometheus") as scraping:
            scraping.wait_for('count(up{component="predictor"} == 1) == 4')
            list(threads.map(send_load, (stable, canary), (texts, texts)))
            for service in SERVICES:
                alerts.notify("drift", service=service)
            scraping.wait_for('count(retraining_run_count_total{outcome="succeeded"} == 1) == 2')
            scraping.wait_for("pipeline_source_up")
            yield scraping


def serve_registered(model, directory, version: str):
    """Serve a model as if it were just registered, with its reference for drift."""
    folder = directory / "model"
    shutil.copytree(model.model, folder)
    shutil.copy(model.findings, folder / "findings.json")
    signature = {key: json.dumps(value) for key, value in loading.signature_of(2).items()}
    mlmodel = {"signature": signature, "utc_time_created": f"{datetime.now(UTC):%F %T.%f}"}
    (folder / "MLmodel").write_text(json.dumps(mlmodel))
    flags = ["--model_version", version, "--capture", str(directory / "captured")]
    return serving(folder, directory / "server", *flags)


def target(server: Server | Receiver) -> str:
    return server.address.removeprefix("http://")


def send_load(server: Server, texts: list[str]) -> None:
    """Send requests to every endpoint, each text at least once, and some wrong requests."""
    server.predict(texts[:200])
    server.predict(texts[200:])
    deadline = time.monotonic() + LOAD_SECONDS
    for text in texts * 100:
        server.predict([text])
        server.predict([text, text])
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}
        for path, body in ((EXPLAIN, {"instances": [text]}), (INFER, {"inputs": [tensor]})):
            status, answer, _ = server.ask(path, json.dumps(body).encode(), JSON)
            assert status == 200, answer
        server.ask("/v2/health/live")
        server.refusal(PREDICT, b"{}", JSON)
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def faults(panel: dict, server: Prometheus) -> list[str]:
    """Return which queries of a panel have no data, or no label that their legend needs."""
    problems = []
    for query in panel["targets"]:
        results = server.query(fill_variables(query["expr"], **VARIABLES))
        if not any(math.isfinite(float(each["value"][1])) for each in results):
            problems.append(f"{query['refId']}: no data")
        labels = set(re.findall(r"{{(\w+)}}", query.get("legendFormat", "")))
        if panel["type"] == "table":
            (organize,) = panel["transformations"]
            labels |= organize["options"]["indexByName"].keys() - {"Value"}
        for each in results:
            if missing := labels - each["metric"].keys():
                problems.append(f"{query['refId']}: no {missing}")
    return problems


@pytest.mark.parametrize("name", LOCAL)
def test_panel_has_data(scraped: Prometheus, name: str):
    assert faults(PANELS[name], scraped) == []


def test_cluster_panels_have_valid_queries(scraped: Prometheus):
    panels = [panel for panel in PANELS.values() if panel["title"] in CLUSTER_ONLY]
    assert len(panels) == len(CLUSTER_ONLY)
    for panel in panels:
        assert CLUSTER_ONLY[panel["title"]] in panel["description"]
        assert faults(panel, scraped) == ["A: no data"]  # a wrong query raises ValueError


def changed_panel(name: str, before: str, after: str) -> dict:
    panel = json.loads(json.dumps(PANELS[name]))
    assert before in panel["targets"][0]["expr"]
    panel["targets"][0]["expr"] = panel["targets"][0]["expr"].replace(before, after)
    return panel


def test_wrong_query_is_found(scraped: Prometheus):
    by_status = "service: Answers by status"
    assert faults(changed_panel(by_status, "app_request_count_total", "app_request_count"), scraped)
    assert faults(changed_panel(by_status, "by (status)", "by (method)"), scraped) == [
        "A: no {'status'}"
    ]
    other = changed_panel(by_status, 'component="predictor"', 'component="other"')
    assert faults(other, scraped) == ["A: no data"]
    assert faults(changed_panel("model: Versions", ", digest", ""), scraped)
    # the quantile of a histogram without observations is NaN
    by_endpoint = "service: Latency by endpoint, p99"
    assert faults(changed_panel(by_endpoint, "sum by", "0 * sum by"), scraped) == ["A: no data"]
    with pytest.raises(ValueError, match="parse error"):
        faults(
            changed_panel("service: CPU throttled", "sum by (pod) (", "sum by (pod) (("), scraped
        )


@pytest.mark.parametrize("name", LOCAL)
def test_panel_shows_the_selected_service_or_tells_services_apart(scraped: Prometheus, name: str):
    for query in PANELS[name]["targets"]:
        shown = scraped.query(fill_variables(query["expr"], **VARIABLES))
        none = scraped.query(fill_variables(query["expr"], **VARIABLES | {"service": "none"}))
        if "$service" in query["expr"]:
            assert not [each for each in none if each["metric"]], (
                "data of a service that is not there"
            )
            assert {each["metric"].get("service", "sentiment") for each in shown} == {"sentiment"}
        else:
            assert sorted({each["metric"]["service"] for each in shown}) == SERVICES


COMPARISONS = ["Traffic", "Server errors", "Latency, p99", "Score, mean"]


@pytest.mark.parametrize("title", COMPARISONS)
def test_canary_is_shown_and_can_be_hidden(scraped: Prometheus, title: str):
    (query,) = PANELS[f"model: {title}"]["targets"]
    for selected, shown in ((".*", {STABLE, CANARY}), (STABLE, {STABLE})):
        results = scraped.query(
            fill_variables(query["expr"], **VARIABLES | {"predictor": selected})
        )
        assert {each["metric"]["predictor"] for each in results} == shown


@pytest.mark.parametrize("name", BOARDS)
def test_variables_list_what_is_scraped(scraped: Prometheus, name: str):
    offered = {}
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            expr = fill_variables(variable["query"]["query"], **VARIABLES)
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", expr).groups()
            offered[variable["name"]] = scraped.get(f"label/{label}/values", **{"match[]": series})
    assert offered.pop("namespace") == [NAMESPACE]
    assert offered.pop("service") == SERVICES
    assert offered.pop("predictor", [STABLE, CANARY]) == [STABLE, CANARY]
    assert not offered


@pytest.mark.parametrize("name", BOARDS)
def test_moves_of_versions_are_annotations(scraped: Prometheus, name: str):
    for annotation in BOARDS[name]["annotations"]["list"]:
        results = scraped.query(fill_variables(annotation["expr"], **VARIABLES))
        assert len(results) == 2
        for each in results:
            # Grafana reads the value as a time in milliseconds
            assert 0 < time.time() - float(each["value"][1]) / 1000 < 600
            assert set(re.findall(r"{{(\w+)}}", annotation["textFormat"])) <= each["metric"].keys()


def test_low_accuracy_of_a_served_version_raises_an_alert(scraped: Prometheus):
    """Version 1 is served, 3 is not; both have an estimate that is certainly below the floor."""
    now = datetime.now(UTC).isoformat()
    low = replace(LIVE, until=now, accuracy=Interval(0.7, 0.62, 0.77, 150))
    with registry.connected() as client:
        for version in ("1", "3"):
            live.write(client, "sentiment", replace(low, version=version))
    scraped.wait_for('count(version:pipeline_live_accuracy_high:max{service="sentiment"}) == 3')
    scraped.wait_for('ALERTS{alertname="SentimentLiveAccuracyLow"}')
    (alert,) = scraped.query('ALERTS{alertname="SentimentLiveAccuracyLow"}')
    labels = {key: alert["metric"][key] for key in ("namespace", "service", "version", "retrain")}
    assert labels == {
        "namespace": NAMESPACE,
        "service": "sentiment",
        "version": "1",
        "retrain": "true",
    }
