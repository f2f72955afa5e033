"""How full the predictors are: requests, CPU, memory, and what the cluster says of their pods."""

from collections.abc import Sequence

from monitoring.dashboards.panels import lines
from monitoring.dashboards.queries import LATENCY, quantile, rate, select
from monitoring.dashboards.style import Panel

_CONTAINER = 'namespace="$namespace", container="kserve-container"'


def panels() -> Sequence[Panel]:
    throttled, periods = (
        f"sum by (pod) (rate(container_cpu_cfs_{name}_total{{{_CONTAINER}}}[$__rate_interval]))"
        for name in ("throttled_periods", "periods")
    )
    restarts = f"kube_pod_container_status_restarts_total{{{_CONTAINER}}}"
    return [
        lines(
            "Requests in flight",
            "Requests being answered, waiting ones among them. The line is the limit that a"
            " predictor comes with (--max_in_flight, 128), beyond which it refuses.",
            "short",
            {"{{pod}}": f"sum by (pod) ({select('app_requests_in_flight')})"},
            limits={128: "red"},
            span=6,
        ),
        lines(
            "CPU",
            "Cores that each predictor's process uses.",
            "short",
            {"{{pod}}": rate("process_cpu_seconds_total", "pod")},
            span=6,
        ),
        lines(
            "Memory",
            "Resident memory of each predictor's process.",
            "bytes",
            {"{{pod}}": f"sum by (pod) ({select('process_resident_memory_bytes')})"},
            span=6,
        ),
        lines(
            "Delay of the event loop, p99",
            "Time that a predictor takes to answer a question that takes no work, that for its"
            " liveness: what a request waits for before anything is done for it.",
            "s",
            {"{{pod}}": quantile(0.99, LATENCY, "pod", where='endpoint="/v2/health/live"')},
            span=6,
        ),
        lines(
            "Replicas",
            "Of each predictor, those that answer Prometheus.",
            "short",
            {"{{predictor}}": f"sum by (predictor) ({select('up')})"},
            alerts=["SentimentPredictorDown", "SentimentReplicaDown"],
            steps=True,
        ),
        lines(
            "CPU throttled",
            "Share of the scheduler's periods in which a pod was held at its CPU limit; of"
            " cAdvisor, so on a cluster only.",
            "percentunit",
            {"{{pod}}": f"{throttled} / {periods}"},
        ),
        lines(
            "Restarts",
            "Of the predictors' containers; of kube-state-metrics, so on a cluster only.",
            "short",
            {"{{pod}}": f"sum by (pod) (increase({restarts}[$__rate_interval]))"},
            alerts=["SentimentRestartLoop"],
        ),
    ]
