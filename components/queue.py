"""Draw captured predictions that a person should label, and write them as a queue."""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components import stage
from components.errors import UserError
from components.io import records, registry
from components.io.files import read_json
from components.io.models import load_model
from components.io.records import record
from components.labelling import captured, queues, sampling
from components.labelling.captured import Prediction
from components.labelling.queues import Item, Queue, Stratum
from components.stage import Artifact, parameters
from sentiment import drift
from sentiment.model import class_names, probabilities
from sentiment.model_file import FINDINGS_FILE

log = logging.getLogger("queue")

UNNAMED, REPEATED, AMBIGUOUS, FOREIGN = "without an id", "repeated", "ambiguous", "other classes"


@record
class Drawn:
    """The queue that waits for labels, new or drawn before; ``queue`` is empty if there is none."""

    queue: str
    items: int
    why: str


@dataclass(frozen=True)
class Population:
    """The predictions to draw from, and the number of others by the reason to leave them out."""

    predictions: list[Prediction]
    skipped: dict[str, int]


def population(
    found: Iterator[Prediction], since: str, newest: int, classes: list[str]
) -> Population:
    """Return the ``newest`` predictions after ``since``, from the newest on.

    A request that is sent again with its id is one prediction. An id that names several texts, and
    a prediction of other classes than those of the champion, are left out.
    """
    skipped: Counter[str] = Counter()
    kept: dict[tuple[str, int], Prediction] = {}
    ambiguous: set[tuple[str, int]] = set()
    for each in found:
        if each.time <= since:
            continue
        if len(kept) == newest:
            break
        if not each.request_id:
            skipped[UNNAMED] += 1
        elif {*each.probabilities} != {*classes}:
            skipped[FOREIGN] += 1
        elif each.key not in kept:
            kept[each.key] = each
        elif (each.text, each.version) == (kept[each.key].text, kept[each.key].version):
            skipped[REPEATED] += 1
        else:
            skipped[AMBIGUOUS] += 1
            ambiguous.add(each.key)
    skipped[AMBIGUOUS] += len(ambiguous)
    left = [each for key, each in kept.items() if key not in ambiguous]
    return Population(left, {reason: count for reason, count in skipped.items() if count})


def labelled_until(address: str, name: str) -> str:
    """Return the end of the newest queue that has labels; a queue without any is superseded."""
    for queue in reversed(queues.read_all(address, name)):
        labels, _ = queues.read_labels(address, queue)
        if labels:
            return queue.until
    return ""


def draw(
    model: str,
    found: Population,
    over: NDArray[np.bool_],
    classes: list[str],
    size: int,
    seed: int,
) -> Queue:
    """Return a queue of ``size`` predictions, of all if there are fewer.

    A stratum has the predictions of a version that were captured at one share of the requests, and
    are of one kind. ``over`` tells which texts have drifted, shape (predictions,).
    """
    predictions = found.predictions
    confidence = np.array([each.confidence for each in predictions])
    kinds = np.empty(len(predictions), object)
    groups = [(each.version, each.sample) for each in predictions]
    for group in set(groups):
        places = np.array([each == group for each in groups])
        kinds[places] = sampling.kinds(confidence[places], over[places])
    keys = [(*group, kind) for group, kind in zip(groups, kinds, strict=True)]
    names = sorted(set(keys))
    numbers = np.array([names.index(key) for key in keys])
    sizes = np.bincount(numbers, minlength=len(names)).tolist()
    favoured = [kind != sampling.OTHER for _, _, kind in names]
    counts = sampling.allocate(sizes, favoured, size)
    strata = []
    for number, (version, sample, kind) in enumerate(names):
        predicted = Counter(predictions[each].label for each in np.flatnonzero(numbers == number))
        strata.append(
            Stratum(version, kind, sample, sizes[number], counts[number], dict(predicted))
        )
    items = []
    for place in sampling.draw(numbers, counts, np.random.default_rng(seed)):
        each, number = predictions[place], int(numbers[place])
        probability = strata[number].sample * counts[number] / sizes[number]
        items.append(Item(each.request_id, each.index, number, probability, each.label, each.text))
    times = [each.time for each in predictions]
    return Queue(model, min(times), max(times), seed, classes, strata, items, found.skipped)


@parameters
class Parameters:
    captured: str = Field(
        min_length=1,
        description="Captured requests: what the predictor's --capture names, a folder or"
        " s3://bucket/prefix/.",
    )
    queues: str = Field(
        default="",
        description="Where to write the queues: a folder or s3://bucket/prefix/; empty: none is"
        " drawn.",
    )
    name: str = Field(
        default="sentiment", description="Registered model, whose champion tells what has drifted."
    )
    size: int = Field(default=200, ge=1, description="Predictions to label.")
    newest: int = Field(
        default=20_000, ge=1, description="Number of newest captured predictions to draw from."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw.")


def run(
    drawn: Annotated[Path, Artifact("JSON file to write", output=True)],
    parameters: Parameters,
) -> None:
    if not parameters.queues:
        records.write(drawn, Drawn("", 0, "no --queues are given"))
        log.info("no queue is drawn: no --queues are given")
        return
    since = labelled_until(parameters.queues, parameters.name)
    with registry.connected() as client, tempfile.TemporaryDirectory() as scratch:
        champion = registry.champion(client, parameters.name)
        if champion is None:
            raise UserError(f"{parameters.name} has no champion; run the training pipeline")
        folder = registry.download(client, champion, Path(scratch))
        model, reference = load_model(folder), read_json(folder / FINDINGS_FILE)["reference"]
    classes = [*class_names(model)]
    predictions = captured.newest(parameters.captured, since)
    found = population(predictions, since, parameters.newest, classes)
    for reason, count in found.skipped.items():
        log.info("%d captured predictions are left out: %s", count, reason)
    if not found.predictions:
        why = f"no prediction was captured in {parameters.captured}"
        why += f" since {since}" if since else ""
        log.info("no queue: %s", why)
        records.write(drawn, Drawn("", 0, why))
        return
    # a person may be filling in its list, or have its tasks in Label Studio: it is not drawn again
    until = max(each.time for each in found.predictions)
    for waiting in queues.read_all(parameters.queues, parameters.name):
        if waiting.until == until:
            why = "drawn before, and waits for labels; nothing was captured since"
            log.info("%s/%s: %s", parameters.queues.rstrip("/"), waiting.name, why)
            records.write(drawn, Drawn(waiting.name, len(waiting.items), why))
            return
    texts = [each.text for each in found.predictions]
    log.info("%d predictions to draw from; scoring their texts", len(texts))
    over = sampling.drifted(reference, drift.describe(model, texts, probabilities(model, texts)))
    queue = draw(parameters.name, found, over, classes, parameters.size, parameters.seed)
    queues.write(parameters.queues, queue)
    for stratum in queue.strata:
        log.info(
            "version %s, %s: %d of %d",
            stratum.version,
            stratum.kind,
            stratum.drawn,
            stratum.captured,
        )
    why = f"{len(queue.items)} of {len(texts)} predictions to label"
    log.info("%s/%s: %s", parameters.queues.rstrip("/"), queue.name, why)
    records.write(drawn, Drawn(queue.name, len(queue.items), why))


def main(argv: list[str] | None = None) -> int:
    return stage.main("queue", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
