"""The stages as Kubeflow components: each runs its command line in the training image.

The only module of this package that imports kfp. The image is the one that `make images` builds;
a submission puts a digest in its place. Outputs of the types Metrics and ClassificationMetrics
are for the eye alone: they live in Kubeflow's metadata, and no task reads them.
"""

from typing import Any

from kfp import dsl
from kfp.dsl import (
    Artifact,
    ClassificationMetrics,
    ContainerSpec,
    Dataset,
    Input,
    Markdown,
    Metrics,
    Model,
    Output,
)

IMAGE = "localhost/sentiment-train:0.1.0"


def _spec(stage: str, **arguments: Any) -> ContainerSpec:
    """Return the stage's command line: ``max_n=3`` becomes ``--max-n 3``."""
    args: list[Any] = []
    for name, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        args += ["--" + name.replace("_", "-"), *values]
    return ContainerSpec(
        image=IMAGE,
        command=["python", "-m", "components.executor"],
        args=[dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, stage, *args],
    )


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
    shard_rows: int,
    reviews: Input[Dataset],
    train: Output[Dataset],
    valid: Output[Dataset],
    test: Output[Dataset],
) -> ContainerSpec:
    """Remove copies and split by a hash of the text, into shards."""
    return _spec(
        "prepare",
        reviews=reviews.path,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        shard_rows=shard_rows,
        train=train.path,
        valid=valid.path,
        test=test.path,
    )


@dsl.container_component
def count(
    max_n: int,
    part: str,
    train: Input[Dataset],
    valid: Input[Dataset],
    counts: Output[Dataset],
) -> ContainerSpec:
    """Count the n-grams of a part of the shards."""
    return _spec(
        "count",
        train=train.path,
        valid=valid.path,
        max_n=max_n,
        part=part,
        counts=counts.path,
    )


@dsl.container_component
def merge(
    min_df: int, max_features: int, counts: Input[list[Dataset]], matrix: Output[Dataset]
) -> ContainerSpec:
    """Merge the counts into one matrix of the n-grams that are frequent enough."""
    return _spec(
        "merge",
        counts="*counts",
        min_df=min_df,
        max_features=max_features,
        matrix=matrix.path,
    )


@dsl.container_component
def trial(
    candidates: str,
    budget: float,
    max_iterations: int,
    matrix: Input[Dataset],
    trials: Output[Artifact],
    scores: Output[Metrics],
) -> ContainerSpec:
    """Fit a candidate to a share of the training reviews, and score it on the validation ones."""
    return _spec(
        "trial",
        matrix=matrix.path,
        candidates=candidates,
        budget=budget,
        max_iterations=max_iterations,
        trials=trials.path,
    )


@dsl.container_component
def select(
    keep: int,
    trials: Input[list[Artifact]],
    selection: Output[Artifact],
    selected: dsl.OutputPath(list),  # type: ignore[valid-type]
) -> ContainerSpec:
    """Keep the candidates that do best on the validation reviews."""
    return _spec("select", trials="*trials", keep=keep, selection=selection.path)


@dsl.container_component
def train(
    matrix: Input[Dataset],
    first: Input[Artifact],
    second: Input[Artifact],
    third: Input[Artifact],
    model: Output[Model],
) -> ContainerSpec:
    """Fit the best candidate of the search to all reviews but those of the test."""
    selections = [first.path, second.path, third.path]
    return _spec("train", matrix=matrix.path, selections=selections, model=model.path)


@dsl.container_component
def evaluate(
    model: Input[Model],
    test: Input[Dataset],
    predictions: Output[Dataset],
    plots: Output[Artifact],
    findings: Output[Artifact],
    metrics: Output[Artifact],
    scores: Output[Metrics],
    curves: Output[ClassificationMetrics],
) -> ContainerSpec:
    """Measure the model on reviews that it has not seen."""
    return _spec(
        "evaluate",
        model=model.path,
        test=test.path,
        predictions=predictions.path,
        plots=plots.path,
        findings=findings.path,
        metrics=metrics.path,
    )


@dsl.container_component
def register(
    name: str,
    model: Input[Model],
    metrics: Input[Artifact],
    findings: Input[Artifact],
    plots: Input[Artifact],
    test: Input[Dataset],
    registered: Output[Artifact],
    card: Output[Markdown],
) -> ContainerSpec:
    """Log the model to MLflow, call it the challenger, and show its card."""
    return _spec(
        "register",
        model=model.path,
        metrics=metrics.path,
        findings=findings.path,
        plots=plots.path,
        test=test.path,
        name=name,
        registered=registered.path,
        card=card.path,
    )


@dsl.container_component
def gate(
    margin: float,
    alpha: float,
    min_accuracy: float,
    capability_margin: float,
    registered: Input[Artifact],
    test: Input[Dataset],
    verdict: Output[Artifact],
    scores: Output[Metrics],
    passed: dsl.OutputPath(bool),  # type: ignore[valid-type]
) -> ContainerSpec:
    """Judge the challenger against the champion on the same test reviews."""
    return _spec(
        "gate",
        registered=registered.path,
        test=test.path,
        margin=margin,
        alpha=alpha,
        min_accuracy=min_accuracy,
        capability_margin=capability_margin,
        verdict=verdict.path,
    )


@dsl.container_component
def promote(verdict: Input[Artifact], promotion: Output[Artifact]) -> ContainerSpec:
    """Make the challenger the champion."""
    return _spec("promote", verdict=verdict.path, promotion=promotion.path)


@dsl.container_component
def monitor(
    captured: str,
    text_column: str,
    name: str,
    max_psi: float,
    min_rows: int,
    newest: int,
    drift: Output[Artifact],
    report: Output[Markdown],
    scores: Output[Metrics],
    drifted: dsl.OutputPath(bool),  # type: ignore[valid-type]
) -> ContainerSpec:
    """Compare captured requests with the reviews that the champion was checked on."""
    return _spec(
        "monitor",
        captured=captured,
        text_column=text_column,
        name=name,
        max_psi=max_psi,
        min_rows=min_rows,
        newest=newest,
        drift=drift.path,
        report=report.path,
    )
