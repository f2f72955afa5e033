"""What watches the predictor in a cluster and here, read by the programs that will read it."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml

from components.errors import StageError
from pipelines import laptop, prometheus_operator
from tests import manifests, policies
from tests.conftest import REPO, free_port, running

MONITORING = REPO / "manifests/monitoring"
CONFIG = MONITORING / "config"


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = ", ".join(name for name in programs if not shutil.which(name))
    return pytest.mark.skipif(bool(missing), reason=f"needs {missing}: make packages")


def run(*command: str, cwd: Path = REPO) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def discovered(tmp_path: Path) -> dict:
    """Return the cluster's configuration with files in the place of Kubernetes.

    Debian builds Prometheus without it; what else there is, relabelling above all, is as it stands.
    """
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["file_sd_configs"] = [{"files": [f"{job['job_name']}.json"]}]
    shutil.copy(CONFIG / "rules.yml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    return config


@needs("promtool")
def test_promtool_takes_the_configurations(tmp_path):
    discovered(tmp_path)
    for file in (tmp_path / "prometheus.yml", CONFIG / "laptop.yml"):
        assert "SUCCESS" in run("promtool", "check", "config", str(file))


def pod(name: str, container: str = "kserve-container", **more: str) -> dict:
    meta = {
        "namespace": "sentiment",
        "pod_name": name,
        "pod_ip": "10.0.0.7",
        "pod_phase": "Running",
        "pod_container_name": container,
        "pod_annotation_prometheus_io_scrape": "true",
        "pod_annotation_prometheus_io_port": "8080",
        "pod_label_version": "v7",
    }
    labels = {f"__meta_kubernetes_{key}": value for key, value in (meta | more).items()}
    return {"targets": ["10.0.0.7:8081"], "labels": labels}


@needs("promtool")
def test_the_predictors_pods_become_targets_and_others_do_not(tmp_path):
    """Pods as Prometheus sees them, from a file and not from Kubernetes."""
    discovered(tmp_path)
    pods = [
        pod("a"),
        pod("b", container="queue-proxy"),
        pod("c", pod_phase="Succeeded"),
        pod("d", pod_annotation_prometheus_io_scrape="false"),
    ]
    (tmp_path / "sentiment.json").write_text(json.dumps(pods))
    command = ["promtool", "check", "service-discovery", "--timeout=2s", "prometheus.yml"]
    found = json.loads(run(*command, "sentiment", cwd=tmp_path))
    kept = [each["labels"] for each in found if each["labels"]]
    assert len(found) == 4
    assert [
        {name: value for name, value in each.items() if not name.startswith("__s")} for each in kept
    ] == [
        {
            "__address__": "10.0.0.7:8080",
            "__metrics_path__": "/metrics",
            "instance": "10.0.0.7:8080",
            "job": "sentiment",
            "namespace": "sentiment",
            "pod": "a",
            "predictor": "v7",
        }
    ]


@needs("amtool")
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=SentimentWatchdog severity=none", "heartbeat"),
        ("alertname=SentimentDrift severity=ticket retrain=true", "retraining,tickets"),
        ("alertname=SentimentDrift severity=page retrain=true", "retraining,pages"),
        ("alertname=SentimentPredictorDown severity=page", "pages"),
        ("alertname=SentimentModelOld severity=ticket", "tickets"),
    ],
)
def test_amtool_routes_alerts(labels: str, receivers: str):
    config = f"--config.file={CONFIG / 'alertmanager.yml'}"
    run("amtool", "check-config", str(CONFIG / "alertmanager.yml"))
    command = ["amtool", "config", "routes", "test", config, f"--verify.receivers={receivers}"]
    run(*command, *labels.split())


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    if not shutil.which("prometheus-alertmanager"):
        pytest.skip("needs prometheus-alertmanager: make packages")
    directory = tmp_path_factory.mktemp("alertmanager")
    laptop.write(directory, laptop.Ports(receiver=free_port()), "local", 1)
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-alertmanager", f"--web.listen-address={address}"]
    command += ["--config.file=alertmanager.yml", "--cluster.listen-address="]
    with running(command, f"http://{address}/-/ready", directory):
        yield f"http://{address}/api/v2/alerts"


DOWN = {"alertname": "SentimentPredictorDown", "severity": "page"}
BURN = {"alertname": "SentimentErrorBudgetBurn"}


@pytest.mark.parametrize(
    ("number", "source", "target", "silenced"),
    [
        (1, DOWN, {"alertname": "SentimentLatencyHigh"}, True),
        (2, DOWN, {"alertname": "SentimentDrift"}, False),
        (3, {"alertname": "SentimentReplicaDown"}, {"alertname": "SentimentLatencyHigh"}, False),
        (4, BURN | {"severity": "page"}, BURN | {"severity": "ticket"}, True),
        (5, DOWN, {"alertname": "SentimentLatencyHigh", "namespace": "another"}, False),
    ],
)
def test_alertmanager_silences_what_follows_from_another_alert(
    alertmanager, number, source, target, silenced
):
    namespace = {"namespace": str(number)}
    alerts = [namespace | source, namespace | target]
    now = datetime.now(UTC).isoformat()
    sent = [{"labels": labels, "startsAt": now} for labels in alerts]
    requests.post(alertmanager, json=sent, timeout=30).raise_for_status()
    for labels, expected in zip(alerts, (False, silenced), strict=True):
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        (found,) = requests.get(alertmanager, {"filter": wanted}, timeout=30).json()
        assert bool(found["status"]["inhibitedBy"]) is expected, labels


def test_the_operators_objects_are_made_of_the_same_files(tmp_path):
    prometheus_operator.write(tmp_path)
    for name in ("rules.yaml", "alerts.yaml"):
        assert (tmp_path / name).read_text() == (MONITORING / "operator" / name).read_text(), (
            "run python -m pipelines.prometheus_operator"
        )


def test_a_matcher_that_is_none_is_refused():
    with pytest.raises(StageError, match="'severity'"):
        prometheus_operator.alerts({"inhibit_rules": [], "route": {"matchers": ["severity"]}})


def test_time_runs_faster_and_nothing_else_changes():
    text = (CONFIG / "rules.yml").read_text()
    assert laptop.faster(text, 1) == text
    fast = laptop.faster(text, 10)
    assert "for: 60000ms" in fast  # 10m
    assert "[360000ms]" in fast  # 1h
    assert "ratio_rate1h > 14.4 * 0.001" in fast
    kept = re.compile(r"\b\d+(ms|[smhdw])\b")
    assert kept.sub("", fast) == kept.sub("", text)


class Loader(yaml.SafeLoader):
    """Takes a bare = for text, as kubectl writes and reads it."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def rendered(folder: str) -> list[manifests.Object]:
    text = manifests.kubectl("kustomize", str(MONITORING / folder))
    return list(yaml.load_all(text, Loader=Loader))


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("PodMonitor", "spec/podMetricsEndpoints/0/interval", "soon", "must match pattern"),
        ("ServiceMonitor", "spec/endpoint", [], "does not exist"),
        ("PrometheusRule", "spec/groups/0/rules/0/severity", "page", "does not exist"),
        ("AlertmanagerConfig", "spec/route/groupwait", "1s", "does not exist"),
    ],
)
def test_a_mistyped_field_of_the_operators_objects_is_found(kind, path, value, words):
    (thing,) = [each for each in rendered("operator") if each["kind"] == kind]
    policies.change(thing, path, value)
    assert words in manifests.schema_errors([thing])[0]


@pytest.mark.parametrize("folder", ["plain", "operator"])
def test_manifests_fit_their_schemas_and_beside_the_rest_our_policies(folder):
    objects = rendered(folder)
    assert manifests.schema_errors(objects) == []
    everything = manifests.render("local") + objects
    assert policies.broken(everything) == []
    receiver = manifests.find(objects, "Deployment", "sentiment-receiver")
    receiver["spec"]["template"]["spec"]["containers"][0]["image"] = "sentiment-receiver:latest"
    assert len(policies.broken(everything)) == 1
