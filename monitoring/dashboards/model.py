"""Define the dashboard of the model: predictions, accuracy, drift, a canary beside the stable."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards import accuracy
from monitoring.dashboards.panels import Panel, heatmap_panel, table_panel, time_series_panel
from monitoring.dashboards.queries import (
    FROM_CALLERS,
    LATENCY,
    SINGLE,
    error_share,
    increase,
    mean,
    quantile,
    rate,
    select,
)
from monitoring.settings import ERROR_BUDGET, LATENCY_SECONDS, MODEL_DAYS, PREDICTORS

PREDICTIONS = "model_prediction_count_total"
DAY = 86_400


def panels(max_psi: float, floor: float) -> Mapping[str, Sequence[Panel]]:
    return {
        "All services": _services(max_psi),
        "What is served": _served(),
        "Predictions": _predictions(),
        "Accuracy while serving": accuracy.panels(floor),
        "Drift": _drift(max_psi),
        "Canary beside stable": _canary(),
        "Captured for monitoring": _captured(),
    }


def _services(max_psi: float) -> Sequence[Panel]:
    return [
        time_series_panel(
            "Drift by service",
            "The highest stability index of each service, of all statistics and replicas. The red"
            " line is the limit that starts a training.",
            "short",
            {
                "{{namespace}}/{{service}}": (
                    f"max by (namespace, service) (model_drift_psi{{{PREDICTORS}}})"
                )
            },
            thresholds={0.1: "yellow", max_psi: "red"},
            log=True,
            alerts=["SentimentDrift"],
            span=24,
        )
    ]


def _served() -> Sequence[Panel]:
    info = f"({select('model_version_info')})"
    registered = f"max by (predictor) ({select('model_created_timestamp_seconds')})"
    return [
        table_panel(
            "Versions",
            "The versions that each predictor serves now. Several rows of one predictor mean that"
            " its replicas differ.",
            f"count by (predictor, version, digest) {info}",
            ["predictor", "version", "digest"],
            "replicas",
            "short",
            span=12,
        ),
        time_series_panel(
            "Age of the model",
            "Time since the served model was registered, for each predictor. The line is the"
            f" objective, {MODEL_DAYS} days. A folder that is not from MLflow has no age.",
            "s",
            {"{{predictor}}": f"time() - {registered}"},
            thresholds={MODEL_DAYS * DAY: "red"},
            alerts=["SentimentModelOld"],
            span=12,
        ),
        time_series_panel(
            "Replicas by version",
            "Number of replicas that serve each version of the model.",
            "short",
            {"{{version}}": f"count by (version) {info}"},
            alerts=["SentimentVersionSkew"],
            steps=True,
            span=12,
        ),
        time_series_panel(
            "Models loaded while serving",
            "New models that predictors loaded (--watch_seconds), or refused; after a refusal the"
            " old model stays.",
            "short",
            {"{{outcome}}": increase("model_load_count_total", "outcome")},
            steps=True,
            span=12,
        ),
    ]


def _predictions() -> Sequence[Panel]:
    of_class = rate(PREDICTIONS, "predictor", "prediction")
    of_all = rate(PREDICTIONS, "predictor")
    unknown = rate("model_unknown_token_count_total", "predictor")
    unseen = rate("model_unseen_text_count_total", "predictor")
    return [
        time_series_panel(
            "Predictions by class",
            "Predictions per second, over HTTP and gRPC.",
            "short",
            {"{{prediction}}": rate(PREDICTIONS, "prediction")},
            stacked=True,
        ),
        heatmap_panel(
            "Score, distribution",
            "Number of reviews by probability of the second of two classes, or of the likeliest of"
            " more: each row is a tenth, labelled with its upper edge. A confident model of two"
            " classes fills the first and the last row.",
            "short",
            increase("model_score_bucket", "le"),
        ),
        time_series_panel(
            "Shares of the classes",
            "Share of each class among the predictions, for each predictor.",
            "percentunit",
            {"{{prediction}}, {{predictor}}": f"{of_class} / on (predictor) group_left {of_all}"},
            alerts=["SentimentClassShift"],
        ),
        time_series_panel(
            "Review length",
            "Tokens in a review, from the buckets of a histogram. Its highest bucket is 1,600.",
            "short",
            {f"p{q}": quantile(q / 100, "model_review_tokens") for q in (50, 90, 99)},
        ),
        time_series_panel(
            "Unknown tokens",
            "Share of the tokens that the model has no column for, for each predictor.",
            "percentunit",
            {"{{predictor}}": f"{unknown} / {rate('model_review_tokens_sum', 'predictor')}"},
            alerts=["SentimentUnknownTokens"],
        ),
        time_series_panel(
            "Unseen texts",
            "Share of the texts in a language, or of a kind, that the model has not learned, for"
            " each predictor. Of its test reviews it is 0.1%. The line is the limit of the alert,"
            " for a day.",
            "percentunit",
            {"{{predictor}}": f"{unseen} / {rate('model_review_tokens_count', 'predictor')}"},
            thresholds={0.05: "yellow"},
            alerts=["SentimentUnseenTexts"],
        ),
    ]


def _drift(max_psi: float) -> Sequence[Panel]:
    return [
        time_series_panel(
            "Drift",
            "Population stability index of score, length and unknown share, of the last 2,000"
            " texts of a predictor against the reference in its model; the highest of its"
            f" replicas. Below 0.1 is normal; above {max_psi:g}, the red line, is drift, which"
            " starts a training. Absent until a replica has seen 200 texts.",
            "short",
            {
                "{{predictor}} {{statistic}}": (
                    f"max by (predictor, statistic) ({select('model_drift_psi')})"
                )
            },
            thresholds={0.1: "yellow", max_psi: "red"},
            log=True,
            alerts=["SentimentDrift"],
            span=24,
        )
    ]


def _canary() -> Sequence[Panel]:
    return [
        time_series_panel(
            "Traffic",
            "Requests per second to each predictor, as the gateway splits them.",
            "reqps",
            {"{{predictor}}": rate("app_request_count_total", "predictor", where=FROM_CALLERS)},
            span=6,
            stacked=True,
        ),
        time_series_panel(
            "Server errors",
            "Share of server errors of each predictor.",
            "percentunit",
            {"{{predictor}}": error_share("predictor")},
            thresholds={ERROR_BUDGET: "red"},
            alerts=["SentimentPredictorErrors"],
            span=6,
        ),
        time_series_panel(
            "Latency, p99",
            "99th percentile of predictions for a single review, for each predictor. A deployment"
            " compares batches, too.",
            "s",
            {"{{predictor}}": quantile(0.99, LATENCY, "predictor", where=SINGLE)},
            thresholds={LATENCY_SECONDS: "red"},
            alerts=["SentimentLatencyHigh"],
            span=6,
        ),
        time_series_panel(
            "Score, mean",
            "Mean score of each predictor, the probability of the second of two classes or of the"
            " likeliest of more: two models with the same classes and traffic should be close.",
            "percentunit",
            {"{{predictor}}": mean("model_score", "predictor")},
            span=6,
        ),
    ]


def _captured() -> Sequence[Panel]:
    kept = rate("model_capture_count_total", over="5m")
    kept_by_predictor = rate("model_capture_count_total", "predictor", over="10m")
    predictions = rate(PREDICTIONS, "predictor", over="10m")
    lost = rate("model_capture_dropped_count_total", "reason", over="5m")
    return [
        time_series_panel(
            "Predictions kept and lost",
            "Captured predictions per second, and lost ones by reason, over five minutes, since"
            " files are written every 30 seconds. Nothing is captured without --capture.",
            "short",
            {"kept": kept, "lost: {{reason}}": lost},
            alerts=["SentimentCaptureDrops"],
            span=12,
            stacked=True,
        ),
        time_series_panel(
            "Share kept",
            "Share of the predictions of the last ten minutes that were captured: the value of"
            " --capture_sample, less the losses.",
            "percentunit",
            {"{{predictor}}": f"{kept_by_predictor} / {predictions}"},
            span=12,
        ),
    ]
