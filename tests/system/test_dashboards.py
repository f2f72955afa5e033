"""Every query of the dashboards, asked of a real Prometheus.

It scrapes two real predictors under load, a stable one and a canary, a real exporter of a real
registry, and a real receiver of alerts; Kubeflow's API server, which the exporter reads too, is a
stand-in. What cAdvisor and kube-state-metrics tell is not to be had without a cluster: those
queries are held to PromQL's grammar only.
"""

import json
import math
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from components.io import registry, reviews
from monitoring.dashboards import picture
from monitoring.dashboards.__main__ import OUTPUT
from serving.model import loading
from tests.conftest import REPO, free_port, running
from tests.integration.test_receiver import Receiver, receiver
from tests.monitoring import Prometheus, kubeflow, prometheus, record, selected
from tests.serving import EXPLAIN, INFER, JSON, PREDICT, Server, serving

NOT_HERE = {
    "CPU throttled": "cAdvisor",
    "Restarts": "kube-state-metrics",
}
NAMESPACE, STABLE, CANARY = "sentiment", "v1", "v2"
CHOSEN = {"namespace": NAMESPACE, "predictor": ".*"}
LOAD_SECONDS = 8

BOARDS = {p.stem: json.loads(p.read_text()) for p in sorted((REPO / OUTPUT).glob("*.json"))}
PANELS = {
    f"{name}: {panel['title']}": panel
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
}
HERE = [name for name, panel in PANELS.items() if panel["title"] not in NOT_HERE]


@pytest.fixture(scope="module")
def scraped(trained, trained_worse, tmp_path_factory):
    directory = tmp_path_factory.mktemp("dashboards")
    texts = [text[:2_000] for text in reviews.read(trained.test)["text"].iloc[:400]]
    uri = f"sqlite:///{directory}/registry.db"
    port = free_port()
    exporter = [sys.executable, "-m", "monitoring.exporter", "--port", str(port), "--host"]
    with (
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(2) as threads,
        kubeflow() as runs,
        running(
            [*exporter, runs.host],
            f"http://127.0.0.1:{port}/",
            directory / "exporter",
            PYTHONPATH=str(REPO),
            MLFLOW_TRACKING_URI=uri,
        ),
        served(trained, directory / "stable", "1") as stable,
        served(trained_worse, directory / "canary", "2") as canary,
        receiver(directory, "true") as told,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        with registry.connected() as client:
            record(client)
        jobs = {
            "sentiment": [
                (target(server), {"namespace": NAMESPACE, "predictor": name, "pod": f"pod-{name}"})
                for name, server in ((STABLE, stable), (CANARY, canary))
            ],
            "sentiment-exporter": [(f"127.0.0.1:{port}", {"namespace": NAMESPACE})],
            "sentiment-receiver": [(target(told), {"namespace": NAMESPACE})],
        }
        with prometheus(jobs, directory / "prometheus") as asked:
            asked.wait_for('count(up{job="sentiment"} == 1) == 2')
            for done in [threads.submit(load, server, texts) for server in (stable, canary)]:
                done.result()
            told.tell("drift")
            asked.wait_for('retraining_run_count_total{outcome="succeeded"} == 1')
            asked.wait_for("pipeline_source_up")
            yield asked


def served(model, directory, version: str):
    """Serve a model, just registered, with the reference that drift is measured against."""
    folder = directory / "model"
    shutil.copytree(model.model, folder)
    shutil.copy(model.findings, folder / "findings.json")
    signature = {key: json.dumps(value) for key, value in loading._SIGNATURE.items()}
    packed = {"signature": signature, "utc_time_created": f"{datetime.now(UTC):%F %T.%f}"}
    (folder / "MLmodel").write_text(json.dumps(packed))
    flags = ["--model_version", version, "--capture", str(directory / "captured")]
    return serving(folder, directory / "server", *flags)


def target(server: Server | Receiver) -> str:
    return server.address.removeprefix("http://")


def load(server: Server, texts: list[str]) -> None:
    """Ask all that a caller can, every text at least once, and some of it wrongly."""
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


def faults(panel: dict, asked: Prometheus) -> list[str]:
    """Return which queries of a panel give nothing to draw, or no name to draw it under."""
    found = []
    for query in panel["targets"]:
        results = asked.query(selected(query["expr"], **CHOSEN))
        if not any(math.isfinite(float(each["value"][1])) for each in results):
            found.append(f"{query['refId']}: no data")
        labels = set(re.findall(r"{{(\w+)}}", query.get("legendFormat", "")))
        if panel["type"] == "table":
            (organize,) = panel["transformations"]
            labels |= organize["options"]["indexByName"].keys() - {"Value"}
        for each in results:
            if missing := labels - each["metric"].keys():
                found.append(f"{query['refId']}: no {missing}")
    return found


@pytest.mark.parametrize("name", HERE)
def test_a_panel_has_data(scraped: Prometheus, name: str):
    assert faults(PANELS[name], scraped) == []


def test_the_other_panels_are_few_and_their_queries_are_understood(scraped: Prometheus):
    waiting = [panel for panel in PANELS.values() if panel["title"] in NOT_HERE]
    assert len(waiting) == len(NOT_HERE)
    for panel in waiting:
        assert NOT_HERE[panel["title"]] in panel["description"]
        # understood, and empty
        assert faults(panel, scraped) == ["A: no data"]


def wrong(name: str, before: str, after: str) -> dict:
    panel = json.loads(json.dumps(PANELS[name]))
    assert before in panel["targets"][0]["expr"]
    panel["targets"][0]["expr"] = panel["targets"][0]["expr"].replace(before, after)
    return panel


def test_a_wrong_query_is_seen(scraped: Prometheus):
    by_status = "service: Answers by status"
    assert faults(wrong(by_status, "app_request_count_total", "app_request_count"), scraped)
    assert faults(wrong(by_status, "by (status)", "by (method)"), scraped) == [
        *["A: no {'status'}"]
    ]
    assert faults(wrong(by_status, 'job="sentiment"', 'job="other"'), scraped) == ["A: no data"]
    assert faults(wrong("model: Versions", ", digest", ""), scraped)
    # a quantile of no observation is not a number
    by_endpoint = "service: Latency by endpoint, p99"
    assert faults(wrong(by_endpoint, "sum by", "0 * sum by"), scraped) == ["A: no data"]
    with pytest.raises(ValueError, match="parse error"):
        faults(wrong("service: CPU throttled", "sum by (pod) (", "sum by (pod) (("), scraped)


CANARIES = ["Traffic", "Server errors", "Latency, p99", "Score, mean"]


@pytest.mark.parametrize("title", CANARIES)
def test_the_canary_is_beside_the_stable_and_can_be_left_out(scraped: Prometheus, title: str):
    (query,) = PANELS[f"model: {title}"]["targets"]
    for chosen, shown in ((".*", {STABLE, CANARY}), (STABLE, {STABLE})):
        results = scraped.query(selected(query["expr"], namespace=NAMESPACE, predictor=chosen))
        assert {each["metric"]["predictor"] for each in results} == shown


@pytest.mark.parametrize("name", BOARDS)
def test_the_variables_offer_what_there_is(scraped: Prometheus, name: str):
    offered = {}
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            expr = selected(variable["query"]["query"], **CHOSEN)
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", expr).groups()
            offered[variable["name"]] = scraped.get(f"label/{label}/values", **{"match[]": series})
    assert offered.pop("namespace") == [NAMESPACE]
    assert offered.pop("predictor", [STABLE, CANARY]) == [STABLE, CANARY]
    assert not offered


@pytest.mark.parametrize("name", BOARDS)
def test_promotions_and_deployments_are_annotations(scraped: Prometheus, name: str):
    for annotation in BOARDS[name]["annotations"]["list"]:
        results = scraped.query(selected(annotation["expr"], **CHOSEN))
        assert len(results) == 2
        for each in results:
            # Grafana takes the value for the time, in milliseconds
            assert 0 < time.time() - float(each["value"][1]) / 1000 < 600
            assert set(re.findall(r"{{(\w+)}}", annotation["textFormat"])) <= each["metric"].keys()


def test_the_docs_pictures_can_be_drawn_again(scraped: Prometheus, tmp_path, capsys):
    flags = ["--dashboards", str(REPO / OUTPUT), "--output", str(tmp_path), "--prometheus"]
    assert picture.main([*flags, scraped.address, "--minutes", "1"]) == 0
    for name in BOARDS:
        drawn = (tmp_path / f"{name}.png").read_bytes()
        assert drawn.startswith(b"\x89PNG")
        assert 5_000 < len(drawn) < 150_000
    assert picture.main([*flags, f"http://127.0.0.1:{free_port()}"]) == 1
    assert "nobody answers there" in capsys.readouterr().err
