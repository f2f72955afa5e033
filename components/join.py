"""Join labels and feedback with captured predictions: live accuracy, and reviews to learn from."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components import stage
from components.io import records, registry
from components.io.files import replacing
from components.io.records import record
from components.labelling import captured, joining, live, queues, table
from components.labelling.captured import Prediction
from components.labelling.joining import Key
from components.labelling.labels import Label
from components.labelling.live import Interval, LiveAccuracy
from components.labelling.queues import Queue
from components.stage import Artifact, parameters

log = logging.getLogger("join")

QUEUE, FEEDBACK = "queue", "feedback"  # the channels by which labels come


@record
class Agreement:
    """Feedback on the predictions of a version: how many it calls right, of how many."""

    version: str
    right: int
    labels: int


@record
class Joined:
    """What join found.

    ``labels`` are those to learn from. ``below`` says that the accuracy of the champion is below
    the floor for certain: the upper end of its interval is. ``counts`` has the rest: labels that
    contradict each other, texts that were skipped, feedback without a captured prediction.
    """

    name: str
    labels: int
    below: bool
    why: str
    live: list[LiveAccuracy]
    feedback: list[Agreement]
    counts: dict[str, int]


@dataclass
class Found:
    """The rows to learn from, by what they label, and the results."""

    rows: dict[Key, dict[str, object]] = field(default_factory=dict)
    live: dict[str, LiveAccuracy] = field(default_factory=dict)
    feedback: list[Agreement] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def add_queues(found: Found, drawn: Iterable[tuple[Queue, list[Label], int]]) -> None:
    """Add the labels of queues, the oldest queue first.

    The newest queue that has labels of a version gives the estimate for it.
    """
    for queue, labels, skipped in drawn:
        resolved = joining.resolve(labels)
        found.counts["labelled"] += len(resolved.labels)
        found.counts["skipped"] += skipped
        found.counts["contradicted"] += resolved.contradicted
        found.counts["repeated"] += resolved.repeated
        items = {(item.request_id, item.index): item for item in queue.items}
        for key, label in resolved.labels.items():
            version = queue.strata[items[key].stratum].version
            found.rows[key] = _row(items[key].text, label, version, QUEUE)
        for estimate in joining.estimates(queue, resolved.labels):
            found.live[estimate.version] = estimate


def add_feedback(found: Found, joined: joining.Joined, learn: bool) -> None:
    """Add feedback, which anybody may have sent: it is learned from only if ``learn`` says so."""
    predictions: dict[Key, Prediction] = {}
    labels = []
    for each, prediction in joined.pairs:
        if each.label not in prediction.probabilities:
            found.counts["feedback with a class that the version does not have"] += 1
            continue
        predictions[prediction.key] = prediction
        labels.append(Label(each.request_id, each.index, each.label, each.by, each.time))
    resolved = joining.resolve(labels)
    found.counts["feedback not captured"] += joined.not_captured
    found.counts["feedback contradicted"] += resolved.contradicted
    found.counts["feedback repeated"] += resolved.repeated
    right: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for key, label in resolved.labels.items():
        prediction = predictions[key]
        counted[prediction.version] += 1
        right[prediction.version] += prediction.label == label.label
        if learn and key not in found.rows:
            found.rows[key] = _row(prediction.text, label, prediction.version, FEEDBACK)
    found.feedback = [
        Agreement(version, right[version], count) for version, count in sorted(counted.items())
    ]


def _row(text: str, label: Label, version: str, channel: str) -> dict[str, object]:
    return {
        "text": text,
        "label": label.label,
        "request_id": label.request_id,
        "index": label.index,
        "version": version,
        "channel": channel,
        "by": label.by,
    }


def markdown(found: Joined) -> str:
    """Return what was found as Markdown."""
    lines = [f"# Labels of {found.name}", "", found.why, ""]
    if found.live:
        lines += [
            "| version | texts captured | labels | accuracy | 95% interval |",
            "|---|---|---|---|---|",
            *(
                f"| {each.version} | {each.captured}, {each.since[:16]} to {each.until[:16]} |"
                f" {each.accuracy.labels} | {each.accuracy.value:.4f} |"
                f" {each.accuracy.low:.4f} to {each.accuracy.high:.4f} |"
                for each in found.live
            ),
            "",
            "| version | class | of those predicted, right | of those labelled, found |",
            "|---|---|---|---|",
            *(
                f"| {each.version} | {name} | {_shown(each.precision.get(name))} |"
                f" {_shown(each.recall.get(name))} |"
                for each in found.live
                for name in dict.fromkeys([*each.precision, *each.recall])
            ),
            "",
        ]
    if found.feedback:
        lines += [
            "Feedback, which anybody may have sent, is no sample, and not in the accuracy above:",
            "",
            *(
                f"- version {each.version}: {each.right} of {each.labels} called right"
                for each in found.feedback
            ),
            "",
        ]
    lines += [f"- {name}: {count}" for name, count in found.counts.items()]
    return "\n".join(lines) + "\n"


def _shown(found: Interval | None) -> str:
    return f"{found.value:.3f}, {found.low:.3f} to {found.high:.3f}" if found else "no label"


@parameters
class Parameters:
    captured: str = Field(
        min_length=1,
        description="Captured requests: what the predictor's --capture names, a folder or"
        " s3://bucket/prefix/.",
    )
    queues: str = Field(
        default="",
        description="Where components.queue writes the queues, with the labels beside them: a"
        " folder or s3://bucket/prefix/; empty: there is none.",
    )
    labelled: str = Field(
        default="",
        description="Parquet file to write the labelled predictions to, a path or s3://bucket/key;"
        " ingest.labelled has the same value; empty: none is written.",
    )
    name: str = Field(default="sentiment", description="Registered model.")
    learn_from_feedback: bool = Field(
        default=False,
        description="Whether to learn from feedback too, which anybody may have sent.",
    )
    min_accuracy: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Floor of the accuracy while serving, such as that of the gate.",
    )


def run(
    joined: Annotated[Path, Artifact("JSON file to write", output=True)],
    report: Annotated[Path, Artifact("Markdown file to write", "Markdown", output=True)],
    parameters: Parameters,
) -> None:
    found = Found()
    name = parameters.name
    drawn = queues.read_all(parameters.queues, name) if parameters.queues else []
    add_queues(found, ((each, *queues.read_labels(parameters.queues, each)) for each in drawn))
    feedback = [*captured.feedback(parameters.captured)]
    predictions = captured.newest(parameters.captured) if feedback else ()
    add_feedback(found, joining.join(feedback, predictions), parameters.learn_from_feedback)
    learned = bool(parameters.queues) or parameters.learn_from_feedback
    if parameters.labelled and learned:  # else the labels of an earlier join would be lost
        if parameters.queues and not drawn and not found.rows:
            table.require_no_labels(parameters.labelled, parameters.queues)
        table.write(parameters.labelled, found.rows)
    with registry.connected() as client:
        for estimate in found.live.values():
            live.write(client, name, estimate)
        champion = registry.champion(client, name)
    served = found.live.get(str(champion.version)) if champion else None
    below = served is not None and served.accuracy.high < parameters.min_accuracy
    why = f"{len(found.rows)} labels to learn from"
    if served is not None:
        accuracy = served.accuracy
        why += (
            f"; version {served.version} is right about {accuracy.value:.1%} of the predictions"
            f" ({accuracy.low:.1%} to {accuracy.high:.1%}, by {accuracy.labels} labels)"
        )
        why += f", below the floor of {parameters.min_accuracy:.1%}" if below else ""
    counts = {reason: count for reason, count in found.counts.items() if count}
    result = Joined(
        name, len(found.rows), below, why, [*found.live.values()], found.feedback, counts
    )
    records.write(joined, result)
    with replacing(report) as partial:
        partial.write_text(markdown(result))
    log.info("%s", why)
    for reason, count in counts.items():
        log.info("%d %s", count, reason)


def main(argv: list[str] | None = None) -> int:
    return stage.main("join", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
