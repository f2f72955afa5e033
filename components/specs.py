"""The stages as Kubeflow components: each runs its command line in the training image.

The only module of this package that imports kfp. The image is named when the module is imported:
``TRAIN_IMAGE``, which a release sets to a digest.
"""

import os
from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, ContainerSpec, Dataset, Input, Metrics, Model, Output

IMAGE = os.environ.get("TRAIN_IMAGE", "sentiment-train:0.1.0")


def _spec(stage: str, **arguments: Any) -> ContainerSpec:
    """Return the stage's command line: ``max_n=3`` becomes ``--max-n 3``."""
    args = [
        part for name, value in arguments.items() for part in ("--" + name.replace("_", "-"), value)
    ]
    return ContainerSpec(image=IMAGE, command=["python", "-m", f"components.{stage}"], args=args)


@dsl.container_component
def ingest(
    source: str, text_column: str, label_column: str, reviews: Output[Dataset]
) -> ContainerSpec:
    """Bring reviews into one table of text, label and source."""
    return _spec(
        "ingest",
        source=source,
        text_column=text_column,
        label_column=label_column,
        output=reviews.path,
    )


@dsl.container_component
def validate(
    min_rows: int,
    max_empty: float,
    min_class: float,
    max_duplicates: float,
    max_conflicts: float,
    max_length: int,
    max_damaged: float,
    reviews: Input[Dataset],
    report: Output[Artifact],
) -> ContainerSpec:
    """Check the reviews against limits, and stop the run when one is passed."""
    return _spec(
        "validate",
        reviews=reviews.path,
        min_rows=min_rows,
        max_empty=max_empty,
        min_class=min_class,
        max_duplicates=max_duplicates,
        max_conflicts=max_conflicts,
        max_length=max_length,
        max_damaged=max_damaged,
        report=report.path,
    )


@dsl.container_component
def prepare(
    valid_fraction: float,
    test_fraction: float,
    reviews: Input[Dataset],
    train: Output[Dataset],
    valid: Output[Dataset],
    test: Output[Dataset],
) -> ContainerSpec:
    """Remove copies and split by a hash of the text."""
    return _spec(
        "prepare",
        reviews=reviews.path,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        train=train.path,
        valid=valid.path,
        test=test.path,
    )


@dsl.container_component
def train(
    max_n: int,
    min_df: int,
    alpha: float,
    C: float,
    train: Input[Dataset],
    valid: Input[Dataset],
    model: Output[Model],
) -> ContainerSpec:
    """Fit one candidate."""
    return _spec(
        "train",
        train=train.path,
        valid=valid.path,
        max_n=max_n,
        min_df=min_df,
        alpha=alpha,
        C=C,
        model=model.path,
    )


@dsl.container_component
def evaluate(
    model: Input[Model],
    test: Input[Dataset],
    predictions: Output[Dataset],
    plots: Output[Artifact],
    metrics: Output[Metrics],
) -> ContainerSpec:
    """Measure the model on reviews that it has not seen."""
    return _spec(
        "evaluate",
        model=model.path,
        test=test.path,
        predictions=predictions.path,
        plots=plots.path,
        metrics=metrics.path,
    )


@dsl.container_component
def register(
    name: str,
    model: Input[Model],
    metrics: Input[Metrics],
    plots: Input[Artifact],
    test: Input[Dataset],
    registered: Output[Artifact],
) -> ContainerSpec:
    """Log the model to MLflow and call it the challenger."""
    return _spec(
        "register",
        model=model.path,
        metrics=metrics.path,
        plots=plots.path,
        test=test.path,
        name=name,
        registered=registered.path,
    )


@dsl.container_component
def promote(
    margin: float,
    alpha: float,
    min_accuracy: float,
    registered: Input[Artifact],
    test: Input[Dataset],
    promotion: Output[Artifact],
) -> ContainerSpec:
    """Make the challenger the champion, or say why not."""
    return _spec(
        "promote",
        registered=registered.path,
        test=test.path,
        margin=margin,
        alpha=alpha,
        min_accuracy=min_accuracy,
        promotion=promotion.path,
    )
