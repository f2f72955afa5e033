"""A canary beside the stable predictor, by the same traffic."""

from collections.abc import Sequence

from monitoring.dashboards.panels import lines
from monitoring.dashboards.queries import ASKED, LATENCY, SINGLE, errors, mean, quantile, rate
from monitoring.dashboards.style import Panel


def panels() -> Sequence[Panel]:
    return [
        lines(
            "Traffic",
            "Requests per second to each predictor: how the gateway shares them out.",
            "reqps",
            {"{{predictor}}": rate("app_request_count_total", "predictor", where=ASKED)},
            span=6,
            stacked=True,
        ),
        lines(
            "Server errors",
            "Share of server errors of each predictor.",
            "percentunit",
            {"{{predictor}}": errors("predictor")},
            limits={0.001: "red"},
            alerts=["SentimentPredictorErrors"],
            span=6,
        ),
        lines(
            "Latency, p99",
            "99 of 100 predictions of each predictor for a single review take no longer. A"
            " deployment compares batches, too.",
            "s",
            {"{{predictor}}": quantile(0.99, LATENCY, "predictor", where=SINGLE)},
            limits={0.1: "red"},
            alerts=["SentimentLatencyHigh"],
            span=6,
        ),
        lines(
            "Score, mean",
            "Mean probability of positive of each predictor: two models that see the same traffic"
            " should not be far apart.",
            "percentunit",
            {"{{predictor}}": mean("model_score", "predictor")},
            span=6,
        ),
    ]
