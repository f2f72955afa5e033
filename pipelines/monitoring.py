"""The monitoring pipeline: drift, labels, live accuracy, and training if it helps. Wiring only."""

from typing import Any

from kfp import dsl

from components import specs
from pipelines import inputs
from pipelines.inputs import PARAMS
from pipelines.tasks import SOURCE_KEYS, give_credentials, set_resources
from pipelines.training import training

SOURCE = inputs.of(
    "ingest",
    without=("labelled",),  # join's
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
@dsl.pipeline(
    name="retraining", description="Trains when there is a reason and news to learn from."
)
def retraining(
    train: bool,
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
    labelled: str,
    behaviour: str,
    name: str,
) -> None:
    with dsl.If(train == True, name="train"):  # noqa: E712 - kfp's operator
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
            labelled=labelled,
            behaviour=behaviour,
            name=name,
        )


@dsl.pipeline(
    name="monitoring",
    display_name="Sentiment: monitoring",
    description="Checks captured requests for drift, estimates accuracy from labels, and trains.",
)
@inputs.takes(
    *inputs.of("monitor", defaults={"name": PARAMS["register"]["name"]}),
    *inputs.of(
        "queue",
        without=("captured", "name"),
        renamed={"size": "queue_size", "newest": "queue_newest", "seed": "queue_seed"},
    ),
    *inputs.of(
        "join",
        without=("captured", "queues", "name"),
        defaults={"labelled": ""},  # a file of the laptop's in params.yaml
    ),
    *SOURCE,
    *inputs.of("evaluate"),
)
def monitoring(given: dict[str, dict[str, Any]]) -> None:
    """Monitor, join the labels, draw the next queue, and train if that helps."""
    captured, name = given["monitor"]["captured"], given["monitor"]["name"]
    queues, labelled = given["queue"]["queues"], given["join"]["labelled"]
    monitor = specs.monitor(**given["monitor"])
    set_resources(monitor, "compare with the reference")
    give_credentials(monitor)
    queue = specs.queue(captured=captured, name=name, **given["queue"])
    set_resources(queue, "draw a queue to label")
    give_credentials(queue)
    join = specs.join(captured=captured, name=name, queues=queues, **given["join"])
    set_resources(join, "join the labels")
    give_credentials(join)
    decide = specs.decide(
        drift=monitor.outputs["drift"],
        joined=join.outputs["joined"],
        labelled=labelled,
        name=name,
        **given["ingest"],
    )
    set_resources(decide, "decide whether to train")
    give_credentials(decide, *SOURCE_KEYS)
    retraining(
        train=decide.outputs["train"],
        labelled=labelled,
        name=name,
        **given["ingest"],
        **given["evaluate"],
    )
