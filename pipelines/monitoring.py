"""The monitoring pipeline: captured requests against the champion's reference. Wiring only."""

from kfp import dsl

from components import specs
from pipelines.tasks import PARAMETERS, outward, sized
from pipelines.training import training


# a pipeline of its own, as kfp.local evaluates a condition on nothing but a pipeline's inputs
@dsl.pipeline(name="retraining", description="Trains anew when requests have drifted.")
def retraining(drifted: bool, source: str, text_column: str, label_column: str, name: str) -> None:
    with dsl.If(drifted == True, name="drifted"):  # noqa: E712 - kfp's operator
        training(source=source, text_column=text_column, label_column=label_column, name=name)


@dsl.pipeline(
    name="monitoring",
    display_name="Sentiment: monitoring",
    description="Tells whether captured requests have drifted, and trains anew when they have.",
)
def monitoring(
    captured: str,
    text_column: str = "data.text",
    name: str = PARAMETERS["register"]["name"],
    max_psi: float = PARAMETERS["monitor"]["max_psi"],
    min_rows: int = PARAMETERS["monitor"]["min_rows"],
    newest: int = PARAMETERS["monitor"]["newest"],
    source: str = PARAMETERS["ingest"]["source"],
    source_text_column: str = PARAMETERS["ingest"]["text_column"],
    source_label_column: str = PARAMETERS["ingest"]["label_column"],
) -> None:
    """Monitor, and train when the requests have drifted.

    Args:
        captured: Captured requests: s3://bucket/key, s3://bucket/prefix/ or https://host/path.
        text_column: Column of their text; the default is that of what the predictor captures.
        name: Registered model, whose champion is monitored.
        max_psi: Population stability index above which requests have drifted.
        min_rows: Fewest requests to tell from.
        newest: Requests to look at, the last of them.
        source: Labelled reviews to train on in that case.
        source_text_column: Column of their text.
        source_label_column: Column of their label.
    """
    monitor = specs.monitor(
        captured=captured,
        text_column=text_column,
        name=name,
        max_psi=max_psi,
        min_rows=min_rows,
        newest=newest,
    )
    sized(monitor, "compare with the reference")
    outward(monitor)
    retraining(
        drifted=monitor.outputs["drifted"],
        source=source,
        text_column=source_text_column,
        label_column=source_label_column,
        name=name,
    )
