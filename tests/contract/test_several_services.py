"""Several services at once: an alert names the one that is broken, and no other hides it.

Two services share a namespace, and two the name; their predictors have the same name.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: make packages"
)
RULES = REPO / "manifests/monitoring/config/rules.yml"
SERVICES = [("sentiment", "sentiment"), ("sentiment", "german"), ("german", "sentiment")]
MINUTES = 150
PREDICTOR = "v7-0a1b2c3d"
ROUTE = 'endpoint="/v1/models/{model_name}:predict"'
TRAEFIK = "httproute-{0}-{1}-gw-sentiment-sentiment-ep-web-1-6766f9d680bf654118b6-svc-{0}-{1}-{2}"
# values in promtool's notation: the same growth or value each minute
STEADY, NONE = f"0+600x{MINUTES}", f"0x{MINUTES}"


def series(namespace: str, service: str) -> dict[str, tuple[str, str]]:
    """Return the series of a healthy service, and their values, by a name for the breakages."""
    pod = f"{service}-{PREDICTOR}-predictor-5d4f-x"
    own = f'namespace="{namespace}", pod="{pod}"'
    labels = f'component="predictor", job="{service}", service="{service}", {own}'
    labels += f', predictor="{PREDICTOR}"'
    count = f'app_request_count_total{{{labels}, method="POST", {ROUTE}, status="%s"}}'
    bucket = f'app_request_latency_seconds_bucket{{{labels}, {ROUTE}, reviews="1", le="%s"}}'
    total = f'app_request_latency_seconds_count{{{labels}, {ROUTE}, reviews="1"}}'
    backend = f"{TRAEFIK.format(namespace, service, PREDICTOR)}-predictor-0@kubernetesgateway"
    return {
        "up": (f"up{{{labels}}}", f"1x{MINUTES}"),
        "successes": (count % 200, STEADY),
        "errors": (count % 500, NONE),
        "quick": (bucket % "0.1", STEADY),
        "all": (bucket % "+Inf", STEADY),
        "count": (total, STEADY),
        "gateway": (
            f'traefik_service_requests_total{{code="502", instance="t", service="{backend}"}}',
            NONE,
        ),
        "drift": (f'model_drift_psi{{{labels}, statistic="length"}}', f"0.01x{MINUTES}"),
        "reviews": (f"model_review_tokens_count{{{labels}}}", STEADY),
        "lost": (f'model_capture_dropped_count_total{{{labels}, reason="x"}}', NONE),
        "kept": (f"model_capture_count_total{{{labels}}}", STEADY),
        "created": (f"model_created_timestamp_seconds{{{labels}}}", NONE),
        "restarts": (
            f'kube_pod_container_status_restarts_total{{{own}, container="kserve-container"}}',
            NONE,
        ),
        "trained": (
            f'retraining_run_count_total{{job="sentiment-receiver", namespace="{namespace}",'
            f' service="{service}", outcome="failed"}}',
            NONE,
        ),
        "read": (
            f'pipeline_source_up{{job="sentiment-exporter", namespace="{namespace}",'
            f' service="{service}", source="mlflow"}}',
            f"1x{MINUTES}",
        ),
    }


# what is broken from the sixtieth minute on, and the alerts that must fire
BREAKAGES: dict[str, tuple[Mapping[str, str], set[str]]] = {
    "no pod is left": ({"up": "1x60 stale"}, {"SentimentPredictorDown"}),
    "no pod answers": ({"up": "1x60 0x89"}, {"SentimentPredictorDown", "SentimentReplicaDown"}),
    "the predictor fails": (
        {"errors": "0x60 0+60x89"},
        {"SentimentErrorBudgetBurn", "SentimentPredictorErrors"},
    ),
    "the gateway fails": ({"gateway": "0x60 0+60x89"}, {"SentimentErrorBudgetBurn"}),
    "slow": ({"quick": "0+600x60 36000+300x89"}, {"SentimentLatencyHigh"}),
    "drift": ({"drift": "0.01x60 0.5x89"}, {"SentimentDrift"}),
    "capture": ({"lost": "0x60 0+100x89"}, {"SentimentCaptureDrops"}),
    "old": ({"created": f"-5000000x{MINUTES}"}, {"SentimentModelOld"}),
    "restarts": ({"restarts": "0x60 0+1x89"}, {"SentimentRestartLoop"}),
    "training fails": ({"trained": "0x60 1x89"}, {"SentimentRetrainingFailed"}),
    "MLflow fails": ({"read": "1x60 0x89"}, {"SentimentPipelinesUnseen"}),
}
EACH = [[service] for service in SERVICES]


@pytest.mark.parametrize("broken", [[], *EACH, SERVICES], ids=lambda b: "+".join(map("/".join, b)))
def test_alerts_name_the_broken_services(tmp_path: Path, broken: list[tuple[str, str]]):
    breakages = BREAKAGES.items() if broken else [("nothing", ({}, set()))]
    result = run(tmp_path, [case(name, broken, *breakage) for name, breakage in breakages])
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_alert_of_another_service_is_a_failure(tmp_path: Path):
    """The cases can fail: one service is broken, and the alerts of another are expected."""
    values, alerts = BREAKAGES["drift"]
    wrong = case("drift", SERVICES[:1], values, alerts)
    labels = wrong["promql_expr_test"][0]["exp_samples"][0]
    labels["labels"] = labels["labels"].replace('service="sentiment"', 'service="german"')
    assert run(tmp_path, [wrong]).returncode == 1


def run(folder: Path, cases: list[dict]) -> subprocess.CompletedProcess[str]:
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": cases}
    (folder / "cases.yml").write_text(json.dumps(tests))
    command = ["promtool", "test", "rules", "cases.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def case(
    name: str, broken: list[tuple[str, str]], values: Mapping[str, str], alerts: set[str]
) -> dict:
    """Return a case of promtool with all services: only the broken ones have these alerts."""
    inputs = []
    for service in SERVICES:
        for key, (label, value) in series(*service).items():
            changed = values.get(key, value) if service in broken else value
            inputs.append({"series": label, "values": changed})
    for job in ("sentiment-receiver", "sentiment-exporter"):
        text = f'up{{job="{job}", namespace="sentiment"}}'
        inputs.append({"series": text, "values": f"1x{MINUTES}"})
    fired = f'ALERTS{{alertstate="firing", severity!="none"}}[{MINUTES}m]'
    expected = [
        f'{{alertname="{alert}", namespace="{namespace}", service="{service}"}}'
        for alert in sorted(alerts)
        for namespace, service in broken
    ]
    return {
        "name": name,
        "interval": "1m",
        "input_series": inputs,
        "promql_expr_test": [
            {
                "expr": f"group by (alertname, namespace, service) (count_over_time({fired}))",
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": each, "value": 1} for each in expected],
            }
        ],
    }
