"""The model: what it is asked and says, drift, and a canary beside the stable predictor."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards import canary
from monitoring.dashboards.panels import heat, lines, rows
from monitoring.dashboards.queries import increase, quantile, rate, select
from monitoring.dashboards.style import Panel

PREDICTIONS = "model_prediction_count_total"
DAY = 86_400


def panels() -> Mapping[str, Sequence[Panel]]:
    return {
        "What is served": _served(),
        "Predictions": _predictions(),
        "Drift": _drift(),
        "Canary beside stable": canary.panels(),
        "Captured for monitoring": _captured(),
    }


def _served() -> Sequence[Panel]:
    of_version = f"({select('model_version_info')})"
    registered = f"max by (predictor) ({select('model_created_timestamp_seconds')})"
    return [
        rows(
            "Versions",
            "What is served now, by predictor; more than one line of a predictor means that its"
            " replicas differ.",
            f"count by (predictor, version, digest) {of_version}",
            ["predictor", "version", "digest"],
            "replicas",
            "short",
            span=12,
        ),
        lines(
            "Age of the model",
            "Time since the model that a predictor serves was registered; 30 days, the line, is the"
            " objective. A folder that did not come of MLflow has none.",
            "s",
            {"{{predictor}}": f"time() - {registered}"},
            limits={30 * DAY: "red"},
            alerts=["SentimentModelOld"],
            span=12,
        ),
        lines(
            "Replicas by version",
            "How many replicas serve each version of the model.",
            "short",
            {"{{version}}": f"count by (version) {of_version}"},
            alerts=["SentimentVersionSkew"],
            steps=True,
            span=12,
        ),
        lines(
            "Models taken in while serving",
            "Taken in, or refused, after which the old one stays (--watch_seconds).",
            "short",
            {"{{outcome}}": increase("model_load_count_total", "outcome")},
            steps=True,
            span=12,
        ),
    ]


def _predictions() -> Sequence[Panel]:
    positive = rate(PREDICTIONS, "predictor", where='prediction="positive"')
    unknown = rate("model_unknown_token_count_total", "predictor")
    return [
        lines(
            "Predictions by class",
            "Predictions per second, over HTTP and gRPC.",
            "short",
            {"{{prediction}}": rate(PREDICTIONS, "prediction")},
            stacked=True,
        ),
        heat(
            "Score, distribution",
            "How many reviews got which probability of positive: each row is a tenth, up to the"
            " value at its edge. A model that is sure of itself fills the first and the last.",
            "short",
            increase("model_score_bucket", "le"),
        ),
        lines(
            "Positive predictions",
            "Share of the predictions that say positive, for each predictor.",
            "percentunit",
            {"{{predictor}}": f"{positive} / {rate(PREDICTIONS, 'predictor')}"},
            alerts=["SentimentClassShift"],
        ),
        lines(
            "Review length",
            "Tokens in a review, from the buckets of a histogram: the longest that it tells apart"
            " is 1,600.",
            "short",
            {f"p{q}": quantile(q / 100, "model_review_tokens") for q in (50, 90, 99)},
            span=12,
        ),
        lines(
            "Unknown tokens",
            "Share of the tokens that the model has no column for, for each predictor.",
            "percentunit",
            {"{{predictor}}": f"{unknown} / {rate('model_review_tokens_sum', 'predictor')}"},
            alerts=["SentimentUnknownTokens"],
            span=12,
        ),
    ]


def _drift() -> Sequence[Panel]:
    return [
        lines(
            "Drift",
            "Population stability index of score, length and unknown share, of the last 2,000"
            " texts of a predictor against the reference that came with its model; the worst"
            " replica. Below 0.1 is as it should be; above 0.2, the line, is drift, which starts"
            " a training. Absent until a replica has seen 200 texts.",
            "short",
            {
                "{{predictor}} {{statistic}}": (
                    f"max by (predictor, statistic) ({select('model_drift_psi')})"
                )
            },
            limits={0.1: "yellow", 0.2: "red"},
            log=True,
            alerts=["SentimentDrift"],
            span=24,
        )
    ]


def _captured() -> Sequence[Panel]:
    kept = rate("model_capture_count_total", over="5m")
    kept_of = rate("model_capture_count_total", "predictor", over="10m")
    lost = rate("model_capture_dropped_count_total", "reason", over="5m")
    return [
        lines(
            "Predictions kept and lost",
            "Written per second to the folder of captured requests, or lost to it and why, over"
            " five minutes, as files come every 30 seconds; nothing is kept where --capture is not"
            " given.",
            "short",
            {"kept": kept, "lost: {{reason}}": lost},
            alerts=["SentimentCaptureDrops"],
            span=12,
            stacked=True,
        ),
        lines(
            "Share kept",
            "Of the predictions of the last ten minutes, those kept: what --capture_sample says,"
            " less the losses.",
            "percentunit",
            {"{{predictor}}": f"{kept_of} / {rate(PREDICTIONS, 'predictor', over='10m')}"},
            span=12,
        ),
    ]
