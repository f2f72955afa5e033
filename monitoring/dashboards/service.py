"""Define the dashboard of the service: traffic, errors, latency and saturation of predictors."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards.panels import Panel, heatmap_panel, time_series_panel, value_panel
from monitoring.dashboards.queries import (
    BATCHES,
    FROM_CALLERS,
    LATENCY,
    PREDICTED,
    SINGLE,
    error_share,
    increase,
    quantile,
    rate,
    select,
    service_error_share,
)
from monitoring.settings import ERROR_BUDGET, LATENCY_SECONDS, PREDICTORS

COUNT = "app_request_count_total"
BURN, SLOW, DOWN = "SentimentErrorBudgetBurn", "SentimentLatencyHigh", "SentimentPredictorDown"
LATENCY_OBJECTIVE = f"{1000 * LATENCY_SECONDS:.0f} ms"
POD = "$service-v[0-9]+(-[0-9a-f]{8})?-predictor-.+"
CONTAINER = f'namespace="$namespace", pod=~"{POD}", container="kserve-container"'


def panels() -> Mapping[str, Sequence[Panel]]:
    return {
        "All services": _services(),
        "The selected service now": _now(),
        "Traffic and errors": _traffic(),
        "Latency": _latency(),
        "Saturation": _saturation(),
    }


def _services() -> Sequence[Panel]:
    legend = "{{namespace}}/{{service}}"
    requests = f"rate({COUNT}{{{PREDICTORS}, {FROM_CALLERS}}}[$__rate_interval])"
    answering = f"sum by (namespace, service) (up{{{PREDICTORS}}})"
    return [
        time_series_panel(
            "Requests by service",
            "Requests per second to each service, in all namespaces.",
            "reqps",
            {legend: f"sum by (namespace, service) ({requests})"},
            alerts=["SentimentTrafficAbsent"],
        ),
        time_series_panel(
            "Server errors by service",
            "Share of server errors of each service in five minutes, with those that the gateway"
            " makes, as for a pod that refuses connections. The line is the objective.",
            "percentunit",
            {legend: "service:request_errors:ratio5m or 0 * service:app_requests:rate15m"},
            thresholds={ERROR_BUDGET: "red"},
            alerts=[BURN],
        ),
        time_series_panel(
            "Replicas by service",
            "Predictor replicas that answer Prometheus: 0 for a service of the last week that has"
            " none.",
            "short",
            {legend: f"{answering} or 0 * service:expected:group"},
            alerts=[DOWN],
            steps=True,
        ),
    ]


def _now() -> Sequence[Panel]:
    return [
        value_panel(
            "Requests",
            "Requests per second to predict, infer and explain, including refused ones.",
            "reqps",
            rate(COUNT, where=FROM_CALLERS),
        ),
        value_panel(
            "Availability",
            "Share of the requests in the time shown without a server error. The objective is"
            f" {1 - ERROR_BUDGET:.1%}. Errors of callers (4xx) do not count; those that the gateway"
            " makes do.",
            "percentunit",
            f"1 - {service_error_share('$__range')}",
            {1 - ERROR_BUDGET: "green"},
            base_colour="red",
            decimals=3,
            alerts=[BURN],
        ),
        value_panel(
            "Latency, p99",
            "99th percentile of predictions for a single review. The objective is"
            f" {LATENCY_OBJECTIVE}; batches have none.",
            "s",
            quantile(0.99, LATENCY, where=SINGLE),
            {LATENCY_SECONDS: "yellow", 1: "red"},
            alerts=[SLOW],
        ),
        value_panel(
            "Replicas",
            "Predictor replicas that answer Prometheus.",
            "short",
            f"sum({select('up')})",
            {1: "green"},
            base_colour="red",
            decimals=0,
            alerts=[DOWN],
        ),
    ]


def _traffic() -> Sequence[Panel]:
    return [
        time_series_panel(
            "Requests by endpoint",
            "The endpoint is the route, never the path; other is a request that was refused before"
            " routing or has no route.",
            "reqps",
            {"{{endpoint}}": rate(COUNT, "endpoint", where=FROM_CALLERS)},
            alerts=["SentimentTrafficAbsent"],
            span=12,
        ),
        time_series_panel(
            "Answers by status",
            "HTTP status of the answers, for gRPC the equivalent of its code; 499 is a caller that"
            " left before the answer.",
            "reqps",
            {"{{status}}": rate(COUNT, "status", where=FROM_CALLERS)},
            span=12,
            stacked=True,
        ),
        time_series_panel(
            "Server errors",
            "Share of server errors among answers with 2xx and 5xx, for each predictor. The line"
            f" is the objective: more than {ERROR_BUDGET:.1%} exhausts the error budget of 30 days"
            " early.",
            "percentunit",
            {"{{predictor}}": error_share("predictor")},
            thresholds={ERROR_BUDGET: "red"},
            alerts=[BURN, "SentimentPredictorErrors"],
            span=12,
        ),
        time_series_panel(
            "Refused requests by reason",
            "docs/serving.md explains the reasons. overloaded and not_ready are the predictor's"
            " fault, the others the callers'.",
            "reqps",
            {"{{reason}}": rate("app_request_rejected_count_total", "reason")},
            span=12,
            stacked=True,
        ),
    ]


def _latency() -> Sequence[Panel]:
    return [
        time_series_panel(
            "Latency of single reviews",
            "From the head of the request to the end of the answer. The line is the objective for"
            f" p99, {LATENCY_OBJECTIVE}.",
            "s",
            {f"p{q}": quantile(q / 100, LATENCY, where=SINGLE) for q in (50, 90, 99)},
            thresholds={LATENCY_SECONDS: "red"},
            alerts=[SLOW],
            span=6,
        ),
        time_series_panel(
            "Latency of batches",
            "Requests with more than one review. They have no objective, since their latency"
            " depends on their size; the alert fires above a second.",
            "s",
            {f"p{q}": quantile(q / 100, LATENCY, where=BATCHES) for q in (50, 90, 99)},
            alerts=[SLOW],
            span=6,
        ),
        heatmap_panel(
            "Latency of predictions, distribution",
            "Number of requests, of one review or more, by latency: each row is a bucket of the"
            " histogram, labelled with its upper edge.",
            "s",
            increase(f"{LATENCY}_bucket", "le", where=PREDICTED),
            span=6,
        ),
        time_series_panel(
            "Latency by endpoint, p99",
            "99th percentile of the requests to each endpoint, including refused ones.",
            "s",
            {"{{endpoint}}": quantile(0.99, LATENCY, "endpoint", where=FROM_CALLERS)},
            span=6,
        ),
    ]


def _saturation() -> Sequence[Panel]:
    throttled, periods = (
        f"sum by (pod) (rate(container_cpu_cfs_{name}_total{{{CONTAINER}}}[$__rate_interval]))"
        for name in ("throttled_periods", "periods")
    )
    restarts = f"kube_pod_container_status_restarts_total{{{CONTAINER}}}"
    return [
        time_series_panel(
            "Requests in flight",
            "Requests being answered, including waiting ones. The line is the default limit of a"
            " predictor (--max_in_flight, 128), above which it refuses requests.",
            "short",
            {"{{pod}}": f"sum by (pod) ({select('app_requests_in_flight')})"},
            thresholds={128: "red"},
            span=6,
        ),
        time_series_panel(
            "CPU",
            "Cores that each predictor's process uses.",
            "short",
            {"{{pod}}": rate("process_cpu_seconds_total", "pod")},
            span=6,
        ),
        time_series_panel(
            "Memory",
            "Resident memory of each predictor's process.",
            "bytes",
            {"{{pod}}": f"sum by (pod) ({select('process_resident_memory_bytes')})"},
            span=6,
        ),
        time_series_panel(
            "Delay of the event loop, p99",
            "Latency of the liveness probe, which needs no work: how long a request waits before"
            " the predictor starts on it.",
            "s",
            {"{{pod}}": quantile(0.99, LATENCY, "pod", where='endpoint="/v2/health/live"')},
            span=6,
        ),
        time_series_panel(
            "Replicas",
            "Replicas of each predictor that answer Prometheus.",
            "short",
            {"{{predictor}}": f"sum by (predictor) ({select('up')})"},
            alerts=["SentimentPredictorDown", "SentimentReplicaDown"],
            steps=True,
        ),
        time_series_panel(
            "CPU throttled",
            "Share of the scheduler's periods in which a pod reached its CPU limit. From cAdvisor,"
            " so on a cluster only.",
            "percentunit",
            {"{{pod}}": f"{throttled} / {periods}"},
        ),
        time_series_panel(
            "Restarts",
            "Restarts of the predictors' containers. From kube-state-metrics, so on a cluster"
            " only.",
            "short",
            {"{{pod}}": f"sum by (pod) (increase({restarts}[$__rate_interval]))"},
            alerts=["SentimentRestartLoop"],
        ),
    ]
