"""Define the dashboard of the pipelines: runs, versions, decisions and deployments."""

from collections.abc import Mapping, Sequence

from monitoring.dashboards.panels import Panel, table_panel, time_series_panel, value_panel
from monitoring.dashboards.queries import OF_SERVICE
from monitoring.settings import EXPORTER_JOB, MODEL_DAYS, RECEIVER_JOB

DAY = 86_400
MEASURES = "accuracy|accuracy_at_90_coverage|expected_calibration_error|log_loss|macro_f1|roc_auc"


def panels() -> Mapping[str, Sequence[Panel]]:
    return {
        "All services": _champions(),
        "The selected service now": _now(),
        "Runs": _runs(),
        "Models": _models(),
    }


def _select(metric: str, where: str = "") -> str:
    """Return the selector of a metric of monitoring.exporter."""
    matchers = [f'job="{EXPORTER_JOB}"', OF_SERVICE, where]
    return f"{metric}{{{', '.join(filter(None, matchers))}}}"


def _champions() -> Sequence[Panel]:
    registered = f'pipeline_registered_timestamp_seconds{{job="{EXPORTER_JOB}", alias="champion"}}'
    return [
        table_panel(
            "Champions",
            "The champion of each service's model, and the time since it was registered.",
            f"time() - max by (namespace, service, version) ({registered})",
            ["namespace", "service", "version"],
            "age",
            "s",
            span=24,
        )
    ]


def _now() -> Sequence[Panel]:
    registered = _select("pipeline_registered_timestamp_seconds", 'alias="champion"')
    succeeded = _select("pipeline_run_timestamp_seconds", 'pipeline="training", state="succeeded"')
    accuracy = _select("pipeline_model_measure", 'alias="champion", measure="accuracy"')
    kubeflow = f'pipeline_source_up{{job="{EXPORTER_JOB}", source="kubeflow"}}'
    return [
        value_panel(
            "Champion's age",
            f"Time since the champion was registered; the objective is {MODEL_DAYS} days.",
            "s",
            f"time() - max({registered})",
            {MODEL_DAYS * DAY * 2 // 3: "yellow", MODEL_DAYS * DAY: "red"},
            alerts=["SentimentModelOld"],
        ),
        value_panel(
            "Champion's accuracy",
            "Accuracy on the test reviews, measured when the champion was registered.",
            "percentunit",
            f"max({accuracy})",
            decimals=2,
        ),
        value_panel(
            "Last good training",
            "Time since a run of the training pipeline succeeded on Kubeflow.",
            "s",
            f"time() - max({succeeded})",
            {8 * DAY: "yellow", 30 * DAY: "red"},
        ),
        value_panel(
            "Sources read",
            "Share of this dashboard's sources, MLflow and Kubeflow, that the exporter could read"
            " at the last scrape; its log has the errors.",
            "percentunit",
            f"avg({_select('pipeline_source_up')} or {kubeflow})",
            {1: "green"},
            base_colour="red",
            alerts=["SentimentPipelinesUnseen"],
        ),
    ]


def _runs() -> Sequence[Panel]:
    receiver = f'job="{RECEIVER_JOB}", {OF_SERVICE}'
    return [
        time_series_panel(
            "Runs by state",
            "Runs for the model of the service among the newest 100 on Kubeflow Pipelines.",
            "short",
            {"{{pipeline}}, {{state}}": (f"sum by (pipeline, state) ({_select('pipeline_runs')})")},
            steps=True,
        ),
        time_series_panel(
            "Duration of the last run",
            "From creation to end, including waiting time, for each pipeline.",
            "s",
            {"{{pipeline}}": f"max by (pipeline) ({_select('pipeline_run_duration_seconds')})"},
            steps=True,
        ),
        time_series_panel(
            "Retrainings that alerts started",
            "Retrainings that the receiver of alerts has started, by outcome, since its process"
            " started.",
            "short",
            {"{{outcome}}": f"sum by (outcome) (retraining_run_count_total{{{receiver}}})"},
            alerts=["SentimentRetrainingFailed", "SentimentReceiverDown"],
            steps=True,
        ),
    ]


def _models() -> Sequence[Panel]:
    measures = _select("pipeline_model_measure", f'measure=~"{MEASURES}"')
    accuracy = _select("pipeline_model_measure", 'measure="accuracy"')
    decisions = _select("pipeline_decision_count_total")
    deployments = _select("pipeline_deployment_count_total")
    return [
        time_series_panel(
            "Versions registered",
            "Versions of the model in the registry.",
            "short",
            {"versions": f"max({_select('pipeline_version_count')})"},
            steps=True,
        ),
        time_series_panel(
            "Decisions about the champion",
            "Promotions and refusals of challengers, and rollbacks of the champion, since the"
            " registry was created.",
            "short",
            {"{{outcome}}": f"sum by (outcome) ({decisions})"},
            steps=True,
        ),
        time_series_panel(
            "Deployments",
            "Deployments of each overlay by outcome, since the registry was created.",
            "short",
            {"{{overlay}}, {{outcome}}": f"sum by (overlay, outcome) ({deployments})"},
            steps=True,
        ),
        time_series_panel(
            "Accuracy on the test reviews",
            "Accuracy of the versions that the aliases pointed to. Figures on different test"
            " reviews differ, so only a step at a promotion compares two models.",
            "percentunit",
            {"{{alias}}": f"max by (alias) ({accuracy})"},
            steps=True,
            minimum=None,
            span=12,
        ),
        table_panel(
            "Champion and challenger",
            "Measures on the test reviews, taken when the versions were registered.",
            f"max by (alias, version, measure) ({measures})",
            ["alias", "version", "measure"],
            "value",
            "short",
            span=12,
        ),
    ]
