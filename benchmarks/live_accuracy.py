"""Replay predictions with hidden labels: how often does the interval hold the true accuracy?

A run captures half of the predictions, draws a queue, reveals the labels of its items and estimates
the accuracy, by the functions of the stages queue and join. The truth is the accuracy of all
predictions served in that run, captured or not. Needs ``data/``, ``models/`` and ``reports/`` from
``make train``.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components import cli, ingest
from components.io import reviews
from components.io.files import read_json
from components.io.models import load_model
from components.labelling import joining, sampling
from components.labelling.captured import Prediction
from components.labelling.labels import Label
from components.queue import Population, draw
from components.reading.options import Options
from sentiment import drift
from sentiment.model import class_names, probabilities

SEEDS = (1, 2, 3)
SAMPLE = 0.5  # of the requests that is captured
SERVED = 4_000  # predictions of a run
TIME = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Served:
    """Predictions, the label of each, and whether its text has drifted."""

    predictions: list[Prediction]
    labels: list[str]
    over: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        pairs = zip(self.predictions, self.labels, strict=True)
        return np.array([each.label == label for each, label in pairs])

    def __add__(self, other: "Served") -> "Served":
        over = np.concatenate([self.over, other.over])
        return Served(self.predictions + other.predictions, self.labels + other.labels, over)


def serve(texts: Sequence[str], labels: Sequence[int], prefix: str) -> Served:
    """Return what the model of this checkout answers."""
    model = load_model(Path("models/sentiment"))
    reference, names = read_json(Path("reports/findings.json"))["reference"], class_names(model)
    p = probabilities(model, texts)
    predictions = [
        Prediction(
            version="1",
            time=TIME,
            text="",
            label=names[row.argmax()],
            probabilities=dict(zip(names, row.tolist(), strict=True)),
            request_id=f"{prefix}{number}",
            sample=SAMPLE,
        )
        for number, row in enumerate(p)
    ]
    over = sampling.drifted(reference, drift.describe(model, texts, p))
    return Served(predictions, [names[label] for label in labels], over)


def replay(
    served: Served, size: int, runs: int, seed: int
) -> list[tuple[float, float, float, float]]:
    """Return truth, estimate, low and high of each run."""
    random = np.random.default_rng(seed)
    names = sorted({*served.labels})
    right, found = served.right, []
    label_of = {
        each.key: Label(*each.key, label)
        for each, label in zip(served.predictions, served.labels, strict=True)
    }
    for _ in range(runs):
        places = random.choice(len(right), min(SERVED, len(right)), replace=False)
        captured = places[random.random(len(places)) < SAMPLE]
        population = Population([served.predictions[each] for each in captured], {})
        number = int(random.integers(1 << 32))
        queue = draw("replay", population, served.over[captured], names, size, number)
        labels = {
            (each.request_id, each.index): label_of[each.request_id, each.index]
            for each in queue.items
        }
        (estimate,) = joining.estimates(queue, labels)
        accuracy = estimate.accuracy
        found.append((float(right[places].mean()), accuracy.value, accuracy.low, accuracy.high))
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_accuracy", description=__doc__)
    parser.add_argument("--runs", type=cli.count, default=2_000, help="default: %(default)s")
    parser.add_argument("--size", type=cli.count, default=200, help="labels; default: %(default)s")
    args = parser.parse_args(argv)
    test = reviews.read(Path("data/test"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sentences.parquet"
        ingest.ingest(Options("builtin:rotten_tomatoes"), path)
        sentences = reviews.read(path)
    own = serve(test["text"].tolist(), test["label"].tolist(), "own")
    other = serve(sentences["text"].tolist(), sentences["label"].tolist(), "other")
    print(f"{args.runs} runs, {args.size} labels, half of the requests captured\n")
    print(
        "| predictions | seed | accuracy | estimated | interval holds it | too high | too low"
        " | width |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, served in (("reviews", own), ("sentences", other), ("both", own + other)):
        for seed in SEEDS:
            truth, estimate, low, high = np.array(replay(served, args.size, args.runs, seed)).T
            below, above = (truth < low).mean(), (truth > high).mean()
            print(
                f"| {name} | {seed} | {truth.mean():.4f} | {estimate.mean():.4f}"
                f" | {1 - below - above:.2%} | {below:.2%} | {above:.2%}"
                f" | {(high - low).mean():.4f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
