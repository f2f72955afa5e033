"""manifests/monitoring, read by promtool, amtool, Alertmanager and kubectl."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from components.errors import UserError
from monitoring import dispatch, exporter, local, operator, receiver
from monitoring.services import read_services
from monitoring.settings import (
    EXPORTER_JOB,
    NAMESPACE,
    PARAMS,
    PREDICTORS,
    RECEIVER_JOB,
    Ports,
    drift_limits,
    min_accuracy,
)
from pipelines import submit
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


def write_prometheus_config(tmp_path: Path) -> None:
    """Write the cluster's configuration with file discovery in place of Kubernetes discovery.

    Debian's Prometheus is built without Kubernetes; all else, such as relabelling, is unchanged.
    """
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["file_sd_configs"] = [{"files": [f"{job['job_name']}.json"]}]
    shutil.copy(CONFIG / "rules.yml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))


@needs("promtool")
def test_promtool_accepts_the_configs(tmp_path):
    write_prometheus_config(tmp_path)
    for file in (tmp_path / "prometheus.yml", CONFIG / "prometheus-local.yml"):
        assert "SUCCESS" in run("promtool", "check", "config", str(file))


def pod(name: str, container: str = "kserve-container", **changes: str) -> dict:
    """Return a pod as Prometheus discovers it on Kubernetes."""
    meta = {
        "namespace": "sentiment",
        "pod_name": name,
        "pod_ip": "10.0.0.7",
        "pod_phase": "Running",
        "pod_container_name": container,
        "pod_annotation_prometheus_io_scrape": "true",
        "pod_annotation_prometheus_io_port": "8080",
        "pod_label_version": "v7",
        "pod_label_component": "predictor",
        "pod_label_serving_kserve_io_inferenceservice": "german",
    }
    labels = {f"__meta_kubernetes_{key}": value for key, value in (meta | changes).items()}
    return {"targets": ["10.0.0.7:8081"], "labels": labels}


PREDICTOR = {
    "component": "predictor",
    "instance": "10.0.0.7:8080",
    "job": "german",
    "namespace": "sentiment",
    "pod": "a",
    "predictor": "v7",
    "service": "german",
}


def discover(folder: Path, job: str, pods: list[dict]) -> list[dict[str, str]]:
    """Return the labels of the targets that the job of prometheus.yml keeps of these pods."""
    (folder / f"{job}.json").write_text(json.dumps(pods))
    command = ["promtool", "check", "service-discovery", "--timeout=2s", "prometheus.yml"]
    discovered = json.loads(run(*command, job, cwd=folder))
    assert len(discovered) == len(pods)
    return [
        {name: value for name, value in each["labels"].items() if not name.startswith("__s")}
        for each in discovered
        if each["labels"]
    ]


@needs("promtool")
def test_only_predictor_pods_are_targets(tmp_path):
    write_prometheus_config(tmp_path)
    pods = [
        pod("a"),
        pod("b", container="queue-proxy"),
        pod("c", pod_phase="Succeeded"),
        pod("d", pod_annotation_prometheus_io_scrape="false"),
    ]
    (labels,) = discover(tmp_path, "predictors", pods)
    assert labels == PREDICTOR | {"__address__": "10.0.0.7:8080", "__metrics_path__": "/metrics"}


@needs("promtool")
@pytest.mark.parametrize(("port", "path"), [("19001", "/stats/prometheus"), ("9100", "/metrics")])
def test_gateway_is_a_target_by_its_annotations(tmp_path, port, path):
    """Envoy Gateway's proxies and the pods of Traefik's chart have these annotations."""
    write_prometheus_config(tmp_path)
    changes = {
        "namespace": "envoy-gateway-system",
        "pod_annotation_prometheus_io_port": port,
        "pod_annotation_prometheus_io_path": path,
    }
    pods = [
        pod("a", container="envoy", **changes),
        pod("b", container="x", pod_annotation_prometheus_io_scrape="false"),
    ]
    (labels,) = discover(tmp_path, "gateway", pods)
    assert labels["__address__"] == f"10.0.0.7:{port}"
    assert labels["__metrics_path__"] == path
    assert labels["pod"] == "a"
    assert "service" not in labels  # Traefik's metrics have a label of this name


def test_prometheus_may_list_the_pods_of_each_job():
    """Roles of the namespaces, not of the cluster."""
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    namespaces = {
        namespace
        for job in config["scrape_configs"]
        for discovery in job.get("kubernetes_sd_configs", [])
        for namespace in discovery["namespaces"]["names"]
    }
    objects = [*rendered("plain"), *rendered("gateway")]
    account = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}
    bound = [
        (each["metadata"]["namespace"], each["roleRef"]["name"])
        for each in objects
        if each["kind"] == "RoleBinding" and each["subjects"] == [account]
    ]
    roles = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each["rules"]
        for each in objects
        if each["kind"] == "Role"
    }
    assert {namespace for namespace, _ in bound} == namespaces
    for role in bound:
        assert roles[role] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
        ]


# what prometheus-operator puts before the relabelings of a PodMonitor (pkg/prometheus/promcfg.go,
# generatePodMonitorConfig); metrics of ours have the label endpoint, too
OPERATOR_RELABELINGS = [
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    {"target_label": "job", "replacement": "sentiment/sentiment"},
    {"target_label": "endpoint", "replacement": "8080"},
]


@needs("promtool")
def test_operator_gives_the_same_labels(tmp_path):
    """The rules select by these labels, whichever way Prometheus was configured."""
    (monitor,) = [
        each
        for each in yaml.safe_load_all((MONITORING / "operator/podmonitor.yaml").read_text())
        if each["kind"] == "PodMonitor" and each["metadata"]["name"] == "sentiment"
    ]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ours = [
        {re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", key): value for key, value in each.items()}
        for each in endpoint["relabelings"]
    ]
    job = {
        "job_name": "predictors",
        "file_sd_configs": [{"files": ["predictors.json"]}],
        "relabel_configs": OPERATOR_RELABELINGS + ours,
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    (labels,) = discover(tmp_path, "predictors", [pod("a") | {"targets": ["10.0.0.7:8080"]}])
    del labels["container"], labels["__address__"], labels["__metrics_path__"]
    assert labels == PREDICTOR


@needs("amtool")
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=SentimentWatchdog severity=none", "heartbeat"),
        ("alertname=SentimentDrift severity=ticket retrain=true", "retraining,tickets"),
        ("alertname=SentimentDrift severity=page retrain=true", "retraining,pages"),
        ("alertname=SentimentLiveAccuracyLow severity=ticket retrain=true", "retraining,tickets"),
        ("alertname=SentimentPredictorDown severity=page", "pages"),
        ("alertname=SentimentModelOld severity=ticket", "tickets"),
    ],
)
def test_alerts_reach_their_receivers(labels: str, receivers: str):
    config = f"--config.file={CONFIG / 'alertmanager.yml'}"
    run("amtool", "check-config", str(CONFIG / "alertmanager.yml"))
    command = ["amtool", "config", "routes", "test", config, f"--verify.receivers={receivers}"]
    run(*command, *labels.split())


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    if not shutil.which("prometheus-alertmanager"):
        pytest.skip("needs prometheus-alertmanager: make packages")
    directory = tmp_path_factory.mktemp("alertmanager")
    local.write_config(directory, Ports(receiver=free_port()))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-alertmanager", f"--web.listen-address={address}"]
    command += ["--config.file=alertmanager.yml", "--cluster.listen-address="]
    with running(command, f"http://{address}/-/ready", directory):
        yield f"http://{address}/api/v2/alerts"


DOWN = {"alertname": "SentimentPredictorDown", "severity": "page"}
BURN = {"alertname": "SentimentErrorBudgetBurn"}
ABSENT = "SentimentTrafficAbsent"
SLOW = {"alertname": "SentimentLatencyHigh", "predictor": "v7"}


@pytest.mark.parametrize(
    ("number", "source", "target", "inhibited"),
    [
        (1, DOWN, {"alertname": "SentimentLatencyHigh"}, True),
        (2, DOWN, {"alertname": "SentimentDrift"}, False),
        (3, {"alertname": "SentimentReplicaDown"}, {"alertname": "SentimentLatencyHigh"}, False),
        (4, BURN | {"severity": "page"}, BURN | {"severity": "ticket"}, True),
        (5, DOWN, {"alertname": "SentimentLatencyHigh", "namespace": "another"}, False),
        (9, DOWN, {"alertname": "SentimentLatencyHigh", "service": "another"}, False),
        (6, {"alertname": ABSENT}, {"alertname": ABSENT, "window": "1h"}, True),
        (7, SLOW | {"reviews": "1"}, SLOW | {"reviews": "1", "window": "6h"}, True),
        (8, SLOW, SLOW | {"predictor": "v8", "window": "6h"}, False),
    ],
)
def test_consequences_of_an_alert_are_inhibited(alertmanager, number, source, target, inhibited):
    names = {"namespace": str(number), "service": "sentiment"}
    alerts = [names | source, names | target]
    now = datetime.now(UTC).isoformat()
    body = [{"labels": labels, "startsAt": now} for labels in alerts]
    requests.post(alertmanager, json=body, timeout=30).raise_for_status()
    for labels, expected in zip(alerts, (False, inhibited), strict=True):
        matchers = [f'{name}="{value}"' for name, value in ({"window": ""} | labels).items()]
        (alert,) = requests.get(alertmanager, {"filter": matchers}, timeout=30).json()
        assert bool(alert["status"]["inhibitedBy"]) is expected, labels


def test_generated_files_are_current(tmp_path):
    """Also: the drift threshold in the alert rules is that of params.yaml."""
    run(sys.executable, "-m", "monitoring.generate", "--output", str(tmp_path))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 8
    for path in written:
        committed = REPO / path.relative_to(tmp_path)
        assert path.read_text() == committed.read_text(), "run python -m monitoring.generate"


def test_thresholds_reach_rule_and_object(tmp_path):
    operator.write(tmp_path, 0.25, 0.7)
    rules = (tmp_path / "config/rules.yml").read_text()
    assert "predictor:model_drift_psi:max > 0.25\n" in rules
    assert "version:pipeline_live_accuracy_high:max < 0.7\n" in rules
    written = (tmp_path / "operator/rules.yaml").read_text()
    assert "predictor:model_drift_psi:max > 0.25 and on (" in written
    assert "version:pipeline_live_accuracy_high:max < 0.7 and on (" in written
    committed = (CONFIG / "rules.yml").read_text()
    assert rules == operator.set_thresholds(committed, 0.25, 0.7)
    limits = drift_limits(REPO / PARAMS).max_psi, min_accuracy(REPO / PARAMS)
    assert operator.set_thresholds(rules, *limits) == committed


@pytest.mark.parametrize("record", ["model_drift_psi:max >", "pipeline_live_accuracy_high:max <"])
def test_rules_without_a_limit_are_refused(record):
    rules = (CONFIG / "rules.yml").read_text()
    with pytest.raises(UserError, match=rf"^rules.yml: no rule has `\w+:{record}` and a number$"):
        operator.set_thresholds(rules.replace(record, "up >"), 0.2, 0.85)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("monitor: {max_psi: 0.2}", "monitor needs max_psi, min_rows and newest: 'min_rows'"),
        ("monitor: {max_psi: .nan, min_rows: 1, newest: 1}", "each must be above 0"),
        ("monitor: {max_psi: 0.2, min_rows: 1, newest: 0}", "each must be above 0"),
        ("monitor: {max_psi: high, min_rows: 1, newest: 1}", "could not convert"),
        ("monitor", "monitor needs"),
        ("monitor: [", "monitor needs"),
    ],
)
def test_wrong_params_are_one_error(tmp_path, content, words):
    path = tmp_path / PARAMS
    path.write_text(content)
    with pytest.raises(UserError, match=words):
        drift_limits(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("gate: {}", "gate needs min_accuracy: 'min_accuracy'"),
        ("gate: {min_accuracy: 85}", "gate needs min_accuracy: it must be from 0 to 1"),
        ("gate: {min_accuracy: .nan}", "it must be from 0 to 1"),
    ],
)
def test_wrong_floor_is_one_error(tmp_path, content, words):
    path = tmp_path / PARAMS
    path.write_text(content)
    with pytest.raises(UserError, match=words):
        min_accuracy(path)


def test_rules_and_jobs_have_the_settings_names():
    text = (CONFIG / "rules.yml").read_text()
    jobs = set(re.findall(r'\bjob="([^"]+)"', text))
    assert jobs == {RECEIVER_JOB, EXPORTER_JOB}
    assert set(re.findall(r'component="\w+"', text)) == {PREDICTORS}
    namespaces = set(re.findall(r'namespace(?:="|: )([\w-]+)', text))
    assert namespaces == {NAMESPACE}
    for name in ("prometheus.yml", "prometheus-local.yml"):
        config = yaml.safe_load((CONFIG / name).read_text())
        scrapes = {job["job_name"]: job for job in config["scrape_configs"]}
        for job in jobs:
            assert scrapes[job]["honor_labels"]  # metrics name the service that they are about


def test_text_that_is_no_matcher_is_refused():
    with pytest.raises(UserError, match="'severity'"):
        operator.alertmanager_config({"inhibit_rules": [], "route": {"matchers": ["severity"]}})


class Loader(yaml.SafeLoader):
    """Reads a bare = as text, as kubectl does."""


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
def test_mistyped_operator_field_is_found(kind, path, value, words):
    item = next(item for item in rendered("operator") if item["kind"] == kind)
    policies.change(item, path, value)
    assert words in manifests.schema_errors([item])[0]


@pytest.mark.parametrize("folder", ["plain", "operator", "github"])
def test_manifests_follow_schemas_and_policies(folder):
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
    """The plain manifests together with the local overlay."""
    return manifests.render("local") + manifests.kustomize(MONITORING / "plain")


EXPORTER = ("Deployment", "sentiment-exporter")
POD = "spec/template/spec"


@pytest.mark.parametrize(
    ("item", "path", "value", "words"),
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
def test_policy_violation_is_found(watched, item, path, value, words):
    policies.change(manifests.find(watched, *item), path, value)
    assert words in "\n".join(policies.broken(watched))


def arguments_of(container: dict) -> argparse.Namespace:
    """Parse the arguments of a container by the command line that it starts."""
    module = receiver if container["name"] == "receiver" else exporter
    return module.parser().parse_args(container["args"])


@pytest.mark.parametrize("job", [RECEIVER_JOB, EXPORTER_JOB])
def test_scrapes_reach_the_listening_port(watched, job):
    pod = manifests.find(watched, "Deployment", job)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    port = arguments_of(container).port
    (service_port,) = manifests.find(watched, "Service", job)["spec"]["ports"]
    policy = manifests.find(watched, "NetworkPolicy", job)["spec"]
    assert container["ports"] == [{"name": service_port["targetPort"], "containerPort": port}]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": port}]]
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    (scrape,) = [c for c in config["scrape_configs"] if c["job_name"] == job]
    labels = {"namespace": NAMESPACE}
    target = f"{job}.{NAMESPACE}.svc:{service_port['port']}"
    assert scrape["static_configs"] == [{"targets": [target], "labels": labels}]
    assert service_port["port"] == port
    assert (
        f"EXPOSE {Ports().receiver} {Ports().exporter}\n"
        in (REPO / "Dockerfile.receiver").read_text()
    )


def test_alerts_reach_the_receivers_port():
    config = yaml.safe_load((CONFIG / "alertmanager.yml").read_text())
    urls = [w["url"] for r in config["receivers"] for w in r.get("webhook_configs", [])]
    service = f"http://{RECEIVER_JOB}.{NAMESPACE}.svc:{Ports().receiver}"
    assert urls == [f"{service}/alerts", f"{service}/heartbeat"]


def test_exporter_can_reach_its_sources(watched):
    pod = manifests.find(watched, *EXPORTER)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["python", "-m", "monitoring.exporter"]
    args = arguments_of(container)
    assert args.address == "::"  # all of its own pod
    policy = manifests.find(watched, "NetworkPolicy", EXPORTER_JOB)["spec"]
    egress = [rule["ports"] for rule in policy["egress"]]
    assert egress == [[{"port": 5000}], [{"port": urlsplit(args.host).port}]]
    mlflow = manifests.find(watched, "NetworkPolicy", "mlflow")["spec"]
    clients = [
        rule["podSelector"].get("matchLabels", {"": ""}).items()
        for rule in mlflow["ingress"][0]["from"]
    ]
    assert any(labels <= pod["metadata"]["labels"].items() for labels in clients)


def test_service_monitors_select_the_services():
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
        assert endpoint["honorLabels"]
        assert endpoint["relabelings"] == [
            {"action": "labeldrop", "regex": "service"},
            {"targetLabel": "job", "replacement": name},
        ]


def test_operators_objects_have_the_label_of_the_release():
    objects = [item for item in rendered("operator") if "monitoring.coreos" in item["apiVersion"]]
    assert len(objects) == 6
    for item in objects:
        assert item["metadata"]["labels"] == {"release": "kube-prometheus-stack"}


@pytest.mark.parametrize(("folder", "module"), [("receiver", submit), ("github", dispatch)])
def test_receivers_command_takes_the_arguments_of_each_service(folder, module):
    """Also: receiver and exporter read the same file."""
    objects = rendered(folder)
    services = read_services(MONITORING / folder / "services.yaml")
    paths = set()
    for name in (RECEIVER_JOB, EXPORTER_JOB):
        spec = manifests.find(objects, "Deployment", name)["spec"]["template"]["spec"]
        args = arguments_of(spec["containers"][0])
        paths.add(args.services)
        (volume,) = [v["configMap"]["name"] for v in spec["volumes"] if v["name"] == "services"]
        text = manifests.find(objects, "ConfigMap", volume)["data"]["services.yaml"]
        assert text == (MONITORING / folder / "services.yaml").read_text()
        if name == RECEIVER_JOB:
            command = args.command
    assert len(paths) == 1
    assert command[:3] == ["python", "-m", module.__name__]
    for service in services:
        module.parser().parse_args([*command[3:], *service.retrain])
