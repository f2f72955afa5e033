"""The pipelines: runs and how long they take, what they registered, and what was decided of it."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards.panels import lines, number, rows
from monitoring.dashboards.style import Panel

DAY = 86_400


def panels() -> Mapping[str, Sequence[Panel]]:
    return {"Now": _now(), "Runs": _runs(), "Models": _models()}


def _ours(metric: str, where: str = "") -> str:
    """Return the selector of a metric of monitoring.exporter."""
    matchers = ", ".join(
        filter(None, ['job="sentiment-exporter"', 'namespace="$namespace"', where])
    )
    return f"{metric}{{{matchers}}}"


def _now() -> Sequence[Panel]:
    registered = _ours("pipeline_registered_timestamp_seconds", 'alias="champion"')
    succeeded = _ours("pipeline_run_timestamp_seconds", 'pipeline="training", state="succeeded"')
    accuracy = _ours("pipeline_model_measure", 'alias="champion", measure="accuracy"')
    return [
        number(
            "Champion's age",
            "Time since the champion was registered; 30 days is the objective.",
            "s",
            f"time() - max({registered})",
            {20 * DAY: "yellow", 30 * DAY: "red"},
            alerts=["SentimentModelOld"],
        ),
        number(
            "Champion's accuracy",
            "On the test reviews, as it was registered.",
            "percentunit",
            f"max({accuracy})",
            decimals=2,
        ),
        number(
            "Last good training",
            "Time since a run of the training pipeline has succeeded on Kubeflow.",
            "s",
            f"time() - max({succeeded})",
            {8 * DAY: "yellow", 30 * DAY: "red"},
        ),
        number(
            "Sources read",
            "Share of the sources of this dashboard, MLflow and Kubeflow, that could be read just"
            " now; the exporter's log says what is wrong with the others.",
            "percentunit",
            f"avg({_ours('pipeline_source_up')})",
            {1: "green"},
            start="red",
            alerts=["SentimentPipelinesUnseen"],
        ),
    ]


def _runs() -> Sequence[Panel]:
    receiver = 'job="sentiment-receiver", namespace="$namespace"'
    return [
        lines(
            "Runs by state",
            "Of the newest 100 runs that Kubeflow Pipelines keeps.",
            "short",
            {"{{pipeline}}, {{state}}": (f"sum by (pipeline, state) ({_ours('pipeline_runs')})")},
            steps=True,
        ),
        lines(
            "Duration of the last run",
            "From its creation to its end, of each pipeline; waiting for a place is part of it.",
            "s",
            {"{{pipeline}}": f"max by (pipeline) ({_ours('pipeline_run_duration_seconds')})"},
            steps=True,
        ),
        lines(
            "Retrainings that drift started",
            "How often the receiver of alerts has started the monitoring pipeline, by how that"
            " ended, since the receiver began.",
            "short",
            {"{{outcome}}": f"sum by (outcome) (retraining_run_count_total{{{receiver}}})"},
            alerts=["SentimentRetrainingFailed"],
            steps=True,
        ),
    ]


def _models() -> Sequence[Panel]:
    names = "accuracy|accuracy_at_90_coverage|expected_calibration_error|log_loss|macro_f1|roc_auc"
    measures = _ours("pipeline_model_measure", f'measure=~"{names}"')
    accuracy = _ours("pipeline_model_measure", 'measure="accuracy"')
    decided = _ours("pipeline_decision_count_total")
    deployed = _ours("pipeline_deployment_count_total")
    return [
        lines(
            "Versions registered",
            "Versions of the model in the registry.",
            "short",
            {"versions": f"max({_ours('pipeline_version_count')})"},
            steps=True,
        ),
        lines(
            "Decisions about the champion",
            "How many challengers were promoted and refused, and how often the champion was moved"
            " back, since the registry began.",
            "short",
            {"{{outcome}}": f"sum by (outcome) ({decided})"},
            steps=True,
        ),
        lines(
            "Deployments",
            "How the deployments of each overlay ended, since the registry began.",
            "short",
            {"{{overlay}}, {{outcome}}": f"sum by (overlay, outcome) ({deployed})"},
            steps=True,
        ),
        lines(
            "Accuracy on the test reviews",
            "Of the versions that the aliases pointed to. Different test reviews make other"
            " figures, so only a step at a promotion compares two models.",
            "percentunit",
            {"{{alias}}": f"max by (alias) ({accuracy})"},
            steps=True,
            least=None,
            span=12,
        ),
        rows(
            "Champion and challenger",
            "What was measured on the test reviews when they were registered.",
            f"max by (alias, version, measure) ({measures})",
            ["alias", "version", "measure"],
            "value",
            "short",
            span=12,
        ),
    ]
