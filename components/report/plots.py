"""Plots of an evaluation and its search: CSV files for `dvc plots`, and PNG files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.calibration import calibration_curve

from components.io.candidates import Trial

POINTS = 500  # of a curve: a plot of 500 pixels shows no more


def write_curves(
    labels: NDArray[np.int8], p: NDArray[np.float64], classes: Sequence[str], directory: Path
) -> None:
    """Write the confusion matrix and the curves of probabilities ``p``, shape (reviews, classes).

    The curves are of the second of two classes; of more, they are micro-averaged.
    """
    names, most = np.array(classes), p.argmax(axis=1)
    confusion = pd.DataFrame({"actual": names[labels], "predicted": names[most]})
    confusion.to_csv(directory / "confusion.csv", index=False)
    matrix = metrics.ConfusionMatrixDisplay.from_predictions(
        labels,
        most,
        labels=range(len(names)),
        display_labels=[name.replace("$", r"\$") for name in classes],  # no formulas
        colorbar=False,
        xticks_rotation="horizontal" if len(names) <= 3 else "vertical",
        ax=(axes := _axes()),
    )
    _save(axes, "Confusion matrix", directory / "confusion.png")
    matrix.figure_.clear()

    right, score = labels == 1, p[:, 1]
    if len(names) > 2:
        right, score = (labels[:, np.newaxis] == np.arange(len(names))).ravel(), p.ravel()
    fpr, tpr, thresholds = metrics.roc_curve(right, score)
    precision, recall, _ = metrics.precision_recall_curve(right, score)
    observed, predicted = calibration_curve(right, score, n_bins=10)
    for name, title, x, y in (
        ("roc", "ROC curve", ("false_positive_rate", fpr), ("true_positive_rate", tpr)),
        ("precision_recall", "Precision and recall", ("recall", recall), ("precision", precision)),
        ("calibration", "Calibration", ("predicted", predicted), ("observed", observed)),
    ):
        curve = pd.DataFrame(dict((x, y)))
        if name == "roc":  # scikit-learn's first threshold is infinite: nothing is positive
            curve["threshold"] = np.minimum(thresholds, 1.0)
        curve = _thin(curve)
        curve.to_csv(directory / f"{name}.csv", index=False, float_format="%.6f")
        axes = _axes()
        axes.plot(curve[x[0]], curve[y[0]], marker="o" if name == "calibration" else "")
        if name != "precision_recall":  # the line of chance, or of perfect calibration
            axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", zorder=0)
        axes.set_xlabel(x[0].replace("_", " "))
        axes.set_ylabel(y[0].replace("_", " "))
        _save(axes, title, directory / f"{name}.png")


def write_trials(trials: Sequence[Trial], directory: Path) -> None:
    """Plot the log loss of each candidate of the search by its share of the reviews."""
    table = pd.DataFrame(
        {
            "candidate": trial.candidate.difference,
            "budget": trial.budget,
            "log_loss": trial.valid.log_loss,
            "accuracy": trial.valid.accuracy,
        }
        for trial in trials
    ).sort_values(["candidate", "budget"])
    table.to_csv(directory / "trials.csv", index=False, float_format="%.6f")
    axes = _axes()
    for name, of_candidate in table.groupby("candidate"):
        axes.plot(of_candidate["budget"], of_candidate["log_loss"], marker="o", label=name)
    axes.set_xlabel("share of the training reviews")
    axes.set_ylabel("log loss on the validation reviews")
    axes.legend(fontsize="small")
    _save(axes, "Search", directory / "trials.png")


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    at = np.unique(np.linspace(0, len(curve) - 1, POINTS).round().astype(int))
    return curve.iloc[at]


def _axes() -> Axes:
    """Return the axes of a new figure, without pyplot's global state and windows."""
    return Figure(figsize=(5, 5), layout="constrained").add_subplot()


def _save(axes: Axes, title: str, path: Path) -> None:
    axes.set_title(title)
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - _axes made it
    figure.savefig(path, dpi=100, metadata={"Software": None})
