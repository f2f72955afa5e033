"""Define the panels of a model's accuracy while serving: by labels, and by its confidence."""

from collections.abc import Sequence

from monitoring.dashboards.panels import Panel, table_panel, time_series_panel
from monitoring.dashboards.queries import OF_SERVICE, select
from monitoring.settings import EXPORTER_JOB, LIVE_DAYS


def panels(floor: float) -> Sequence[Panel]:
    """Return the panels; ``floor`` is that of the gate."""
    exported = f'{{job="{EXPORTER_JOB}", {OF_SERVICE}}}'
    believed = (
        f'predictor:model_expected_accuracy:believed{{{OF_SERVICE}, predictor=~"$predictor"}}'
    )
    return [
        time_series_panel(
            "Accuracy by labels",
            "Share of right answers of each version, estimated from labels of its captured"
            " predictions, and the ends of the 95% interval. The line is the floor of the gate: an"
            " alert fires when the upper end of a served version is below it.",
            "percentunit",
            {
                "version {{version}}, {{bound}}": (
                    f"max by (version, bound) (pipeline_live_accuracy{exported})"
                )
            },
            thresholds={floor: "red"},
            alerts=["SentimentLiveAccuracyLow"],
            steps=True,
            minimum=None,
        ),
        time_series_panel(
            "Accuracy to expect",
            "Mean probability of the answers to the last 2,000 texts of a predictor: the accuracy"
            " of a calibrated model, without labels. Read it only where the next panel says so.",
            "percentunit",
            {"{{predictor}}": f"avg by (predictor) ({select('model_expected_accuracy')})"},
            thresholds={floor: "red"},
            minimum=None,
        ),
        time_series_panel(
            "Accuracy to expect is believed",
            "Whether the texts are so close to the test reviews, by stability indices, that the"
            " accuracy to expect was right in our measurements. It cannot see that such texts have"
            " got other labels.",
            "bool_yes_no",
            {"{{predictor}}": f"min by (predictor) ({believed})"},
            alerts=["SentimentDrift"],
            steps=True,
        ),
        table_panel(
            "Accuracy by labels and class",
            "Precision is the accuracy by predicted class, recall that by the class of the label,"
            " with the ends of their 95% intervals.",
            f"max by (version, class, measure, bound) (pipeline_live_class_accuracy{exported})",
            ["version", "class", "measure", "bound"],
            "accuracy",
            "percentunit",
            span=12,
        ),
        time_series_panel(
            "Labels",
            "Number of labels behind the accuracy of each version.",
            "short",
            {"version {{version}}": f"max by (version) (pipeline_live_labels{exported})"},
            steps=True,
            span=6,
        ),
        time_series_panel(
            "Age of the labelled texts",
            "Time since the last text came whose label counts, for each version. After"
            f" {LIVE_DAYS} days the accuracy does not alert.",
            "s",
            {
                "version {{version}}": (
                    f"time() - max by (version) (pipeline_live_timestamp_seconds{exported})"
                )
            },
            thresholds={LIVE_DAYS * 86_400: "red"},
            span=6,
        ),
    ]
