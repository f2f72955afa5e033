"""What watches the predictor in a cluster and here, read by the programs that will read it."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from components.errors import UserError
from monitoring import exporter, laptop, operator
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
    operator.write(tmp_path)
    for name in ("rules.yaml", "alerts.yaml"):
        assert (tmp_path / name).read_text() == (MONITORING / "operator" / name).read_text(), (
            "run python -m monitoring.operator"
        )


def test_a_matcher_that_is_none_is_refused():
    with pytest.raises(UserError, match="'severity'"):
        operator.alerts({"inhibit_rules": [], "route": {"matchers": ["severity"]}})


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
    thing, *_ = [each for each in rendered("operator") if each["kind"] == kind]
    policies.change(thing, path, value)
    assert words in manifests.schema_errors([thing])[0]


@pytest.mark.parametrize("folder", ["plain", "operator", "github"])
def test_manifests_fit_their_schemas_and_beside_the_rest_our_policies(folder):
    objects = rendered(folder)
    assert manifests.schema_errors(objects) == []
    everything = manifests.render("local") + objects
    assert policies.broken(everything) == []
    for name in ("sentiment-receiver", "sentiment-exporter"):
        deployment = manifests.find(objects, "Deployment", name)
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"{name}:latest"
    assert len(policies.broken(everything)) == 2


@pytest.fixture
def watched() -> list[manifests.Object]:
    """What the plain manifests bring, beside the local overlay."""
    return manifests.render("local") + manifests.kustomize(MONITORING / "plain")


EXPORTER = ("Deployment", "sentiment-exporter")
POD = "spec/template/spec"


@pytest.mark.parametrize(
    ("what", "path", "value", "words"),
    [
        (EXPORTER, f"{POD}/securityContext/runAsNonRoot", False, "exporter, exporter: runAsNonR"),
        (EXPORTER, f"{POD}/containers/0/securityContext", {}, "readOnlyRootFilesystem"),
        (EXPORTER, f"{POD}/containers/0/livenessProbe", ..., "no livenessProbe"),
        (EXPORTER, f"{POD}/containers/0/resources/limits", ..., "no memory in limits"),
        (EXPORTER, f"{POD}/containers/0/env/2/value", "x", "PASSWORD has a literal value"),
        (EXPORTER, f"{POD}/serviceAccountName", "default", "is not defined here"),
        (EXPORTER, f"{POD}/automountServiceAccountToken", True, "it has a token"),
        (("Role", "sentiment-exporter"), "rules/0/verbs/0", "*", "Role sentiment-exporter: *"),
        (("Service", "sentiment-exporter"), "spec/selector", {"app": "x"}, "selects no pod"),
    ],
)
def test_what_breaks_a_policy_is_found(watched, what, path, value, words):
    policies.change(manifests.find(watched, *what), path, value)
    assert words in "\n".join(policies.broken(watched))


def test_the_exporter_is_asked_where_it_listens_and_may_ask_what_it_must(watched):
    pod = manifests.find(watched, *EXPORTER)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["python", "-m", "monitoring.exporter"]
    args = exporter.parser().parse_args(container["args"])
    (port,) = manifests.find(watched, "Service", "sentiment-exporter")["spec"]["ports"]
    policy = manifests.find(watched, "NetworkPolicy", "sentiment-exporter")["spec"]
    assert args.address == "0.0.0.0"  # noqa: S104 - of its own pod
    assert container["ports"] == [{"name": port["targetPort"], "containerPort": args.port}]
    assert [each["ports"] for each in policy["ingress"]] == [[{"port": args.port}]]
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    (job,) = [j for j in config["scrape_configs"] if j["job_name"] == "sentiment-exporter"]
    target = f"sentiment-exporter.sentiment.svc:{port['port']}"
    labels = {"namespace": "sentiment"}
    assert job["static_configs"] == [{"targets": [target], "labels": labels}]
    assert f"sentiment-exporter.sentiment.svc:{args.port}" == target

    asked = [each["ports"] for each in policy["egress"]]
    assert asked == [[{"port": 5000}], [{"port": urlsplit(args.host).port}]]
    let_in = manifests.find(watched, "NetworkPolicy", "mlflow")["spec"]["ingress"][0]["from"]
    wanted = [each["podSelector"].get("matchLabels", {"": ""}).items() for each in let_in]
    assert any(each <= pod["metadata"]["labels"].items() for each in wanted)


def test_the_operator_finds_both_by_their_services():
    objects = [*yaml.safe_load_all((MONITORING / "operator/podmonitor.yaml").read_text())]
    monitors = [each for each in objects if each["kind"] == "ServiceMonitor"]
    assert len(monitors) == 2
    services = manifests.kustomize(MONITORING / "receiver")
    for monitor in monitors:
        name = monitor["metadata"]["name"]
        service = manifests.find(services, "Service", name)
        assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] == service["spec"]["ports"][0]["name"]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": name}]
