"""The training pipeline: from raw reviews to a promoted champion. Wiring only."""

from pathlib import Path
from typing import Any

import yaml
from kfp import dsl, kubernetes
from kfp.dsl import PipelineTask

from components import specs

PARAMETERS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent.parent / "params.yaml").read_text()
)
# tracking credentials, by key of the secret and name of the environment variable
SECRET = "capstone-secret"  # noqa: S105 - its name
SECRET_KEYS = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def _tracked(task: PipelineTask) -> None:
    """Let a task reach MLflow; it acts outside the pipeline, so it must not come from a cache."""
    task.set_caching_options(False)
    kubernetes.use_secret_as_env(task, SECRET, {key: key for key in SECRET_KEYS}, optional=True)


@dsl.pipeline(name="training", display_name="Sentiment: training", description=__doc__)
def training(
    source: str = PARAMETERS["ingest"]["source"],
    text_column: str = PARAMETERS["ingest"]["text_column"],
    label_column: str = PARAMETERS["ingest"]["label_column"],
    min_rows: int = PARAMETERS["validate"]["min_rows"],
    max_empty: float = PARAMETERS["validate"]["max_empty"],
    min_class: float = PARAMETERS["validate"]["min_class"],
    max_duplicates: float = PARAMETERS["validate"]["max_duplicates"],
    max_conflicts: float = PARAMETERS["validate"]["max_conflicts"],
    max_length: int = PARAMETERS["validate"]["max_length"],
    max_damaged: float = PARAMETERS["validate"]["max_damaged"],
    valid_fraction: float = PARAMETERS["prepare"]["valid_fraction"],
    test_fraction: float = PARAMETERS["prepare"]["test_fraction"],
    max_n: int = PARAMETERS["train"]["max_n"],
    min_df: int = PARAMETERS["train"]["min_df"],
    alpha: float = PARAMETERS["train"]["alpha"],
    C: float = PARAMETERS["train"]["C"],
    name: str = PARAMETERS["register"]["name"],
    margin: float = PARAMETERS["promote"]["margin"],
    gate_alpha: float = PARAMETERS["promote"]["alpha"],
    min_accuracy: float = PARAMETERS["promote"]["min_accuracy"],
) -> None:
    ingest = specs.ingest(source=source, text_column=text_column, label_column=label_column)
    ingest.set_display_name("Ingest").set_caching_options(False)
    reviews = ingest.outputs["reviews"]
    validate = specs.validate(
        reviews=reviews,
        min_rows=min_rows,
        max_empty=max_empty,
        min_class=min_class,
        max_duplicates=max_duplicates,
        max_conflicts=max_conflicts,
        max_length=max_length,
        max_damaged=max_damaged,
    ).set_display_name("Validate")
    prepare = specs.prepare(
        reviews=reviews, valid_fraction=valid_fraction, test_fraction=test_fraction
    )
    prepare.set_display_name("Prepare").after(validate)
    test = prepare.outputs["test"]
    train = specs.train(
        train=prepare.outputs["train"],
        valid=prepare.outputs["valid"],
        max_n=max_n,
        min_df=min_df,
        alpha=alpha,
        C=C,
    ).set_display_name("Train")
    model = train.outputs["model"]
    evaluate = specs.evaluate(model=model, test=test).set_display_name("Evaluate")
    register = specs.register(
        name=name,
        model=model,
        metrics=evaluate.outputs["metrics"],
        plots=evaluate.outputs["plots"],
        test=test,
    )
    _tracked(register.set_display_name("Register"))
    promote = specs.promote(
        registered=register.outputs["registered"],
        test=test,
        margin=margin,
        alpha=gate_alpha,
        min_accuracy=min_accuracy,
    )
    _tracked(promote.set_display_name("Promote"))
