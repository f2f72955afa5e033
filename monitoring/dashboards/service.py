"""The service: traffic, errors, latency and saturation of the predictors."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards import saturation
from monitoring.dashboards.panels import heat, lines, number
from monitoring.dashboards.queries import (
    ASKED,
    BATCHES,
    LATENCY,
    PREDICTED,
    SINGLE,
    errors,
    increase,
    quantile,
    rate,
    select,
    share,
)
from monitoring.dashboards.style import Panel

COUNT = "app_request_count_total"
BURN, SLOW, DOWN = "SentimentErrorBudgetBurn", "SentimentLatencyHigh", "SentimentPredictorDown"


def panels() -> Mapping[str, Sequence[Panel]]:
    return {
        "Now": _now(),
        "Traffic and errors": _traffic(),
        "Latency": _latency(),
        "Saturation": saturation.panels(),
    }


def _now() -> Sequence[Panel]:
    failed = increase(COUNT, where=f'{ASKED}, status=~"5.."', over="$__range")
    of = increase(COUNT, where=f'{ASKED}, status=~"2..|5.."', over="$__range")
    return [
        number(
            "Requests",
            "Requests per second to predict, infer and explain, refused ones among them.",
            "reqps",
            rate(COUNT, where=ASKED),
        ),
        number(
            "Availability",
            "Share of the requests of the time shown that got no server error. The objective is"
            " 99.9%; callers' own mistakes (4xx) are no part of it.",
            "percentunit",
            f"1 - {share(failed, of)}",
            {0.999: "green"},
            start="red",
            decimals=3,
            alerts=[BURN],
        ),
        number(
            "Latency, p99",
            "99 of 100 predictions for a single review take no longer. The objective is 100 ms;"
            " batches have none.",
            "s",
            quantile(0.99, LATENCY, where=SINGLE),
            {0.1: "yellow", 1: "red"},
            alerts=[SLOW],
        ),
        number(
            "Replicas",
            "Predictors that answer Prometheus.",
            "short",
            f"sum({select('up')})",
            {1: "green"},
            start="red",
            decimals=0,
            alerts=[DOWN],
        ),
    ]


def _traffic() -> Sequence[Panel]:
    return [
        lines(
            "Requests by endpoint",
            "The endpoint is the route, never the path; other is what was refused at the door or"
            " has no route.",
            "reqps",
            {"{{endpoint}}": rate(COUNT, "endpoint", where=ASKED)},
            alerts=["SentimentTrafficAbsent"],
            span=12,
        ),
        lines(
            "Answers by status",
            "HTTP status of the answers, for gRPC the one that its code stands for; 499 is a caller"
            " that left before its answer.",
            "reqps",
            {"{{status}}": rate(COUNT, "status", where=ASKED)},
            span=12,
            stacked=True,
        ),
        lines(
            "Server errors",
            "Share of server errors among answers with 2xx and 5xx, for each predictor. The line"
            " is the objective: more than 0.1% uses up the error budget of 30 days too early.",
            "percentunit",
            {"{{predictor}}": errors("predictor")},
            limits={0.001: "red"},
            alerts=[BURN, "SentimentPredictorErrors"],
            span=12,
        ),
        lines(
            "Refused requests by reason",
            "What each reason means is in docs/serving.md; overloaded and"
            " not_ready are ours, the others are the callers'.",
            "reqps",
            {"{{reason}}": rate("app_request_rejected_count_total", "reason")},
            span=12,
            stacked=True,
        ),
    ]


def _latency() -> Sequence[Panel]:
    return [
        lines(
            "Latency of single reviews",
            "From the head of the request to the end of the answer. The line is the objective for"
            " p99, 100 ms.",
            "s",
            {f"p{q}": quantile(q / 100, LATENCY, where=SINGLE) for q in (50, 90, 99)},
            limits={0.1: "red"},
            alerts=[SLOW],
            span=6,
        ),
        lines(
            "Latency of batches",
            "Of requests with more than one review. They have no objective, as the time goes with"
            " what is asked for; the alert is for more than a second.",
            "s",
            {f"p{q}": quantile(q / 100, LATENCY, where=BATCHES) for q in (50, 90, 99)},
            alerts=[SLOW],
            span=6,
        ),
        heat(
            "Latency of predictions, distribution",
            "How many requests, of one review or more, took how long: each row is a bucket of the"
            " histogram, up to the time at its edge.",
            "s",
            increase(f"{LATENCY}_bucket", "le", where=PREDICTED),
            span=6,
        ),
        lines(
            "Latency by endpoint, p99",
            "99 of 100 requests to the endpoint take no longer, refused ones among them.",
            "s",
            {"{{endpoint}}": quantile(0.99, LATENCY, "endpoint", where=ASKED)},
            span=6,
        ),
    ]
