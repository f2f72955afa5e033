"""The monitoring pipeline: captured requests against the champion's reference. Wiring only."""

from typing import Any

from kfp import dsl

from components import specs
from pipelines import inputs
from pipelines.inputs import PARAMS
from pipelines.tasks import give_credentials, set_resources
from pipelines.training import training

SOURCE = inputs.of(
    "ingest",
    renamed={
        "query": "source_query",
        "text_column": "source_text_column",
        "label_column": "source_label_column",
        "group_column": "source_group_column",
        "exclude": "source_exclude",
        "forgotten": "source_forgotten",
        "format": "source_format",
        "encoding": "source_encoding",
        "labels": "source_labels",
        "separator": "source_separator",
        "quoting": "source_quoting",
        "header": "source_header",
        "columns": "source_columns",
        "damaged_rows": "source_damaged_rows",
    },
)


# a pipeline of its own: kfp.local evaluates a condition on the inputs of a pipeline only
@dsl.pipeline(name="retraining", description="Trains when requests have drifted.")
def retraining(
    drifted: bool,
    source: str,
    query: str,
    text_column: str,
    label_column: str,
    group_column: str,
    other_sources: dict[str, Any],
    exclude: str,
    forgotten: str,
    format: str,
    encoding: str,
    labels: dict[str, Any],
    separator: str,
    quoting: str,
    header: str,
    columns: list[str],
    damaged_rows: str,
    behaviour: str,
    name: str,
) -> None:
    with dsl.If(drifted == True, name="drifted"):  # noqa: E712 - kfp's operator
        training(
            source=source,
            query=query,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            other_sources=other_sources,
            exclude=exclude,
            forgotten=forgotten,
            format=format,
            encoding=encoding,
            labels=labels,
            separator=separator,
            quoting=quoting,
            header=header,
            columns=columns,
            damaged_rows=damaged_rows,
            behaviour=behaviour,
            name=name,
        )


@dsl.pipeline(
    name="monitoring",
    display_name="Sentiment: monitoring",
    description="Checks captured requests for drift, and trains when they have drifted.",
)
@inputs.takes(
    *inputs.of("monitor", defaults={"name": PARAMS["register"]["name"]}),
    *SOURCE,
    *inputs.of("evaluate"),
)
def monitoring(given: dict[str, dict[str, Any]]) -> None:
    """Monitor, and train when the requests have drifted."""
    monitor = specs.monitor(**given["monitor"])
    set_resources(monitor, "compare with the reference")
    give_credentials(monitor)
    retraining(
        drifted=monitor.outputs["drifted"],
        name=given["monitor"]["name"],
        **given["ingest"],
        **given["evaluate"],
    )
