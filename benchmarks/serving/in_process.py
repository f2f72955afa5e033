"""Measure the scorer and the Pipeline in this process, without a server."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

import sentiment.model
from sentiment.scorer import Scorer
from sentiment.scores import NumpyScores
from sentiment.tokens import tokenize

SECONDS = 1.0


def measure(model: Pipeline, texts: Sequence[str], size: int) -> Iterator[tuple[str, float]]:
    """Yield the name of each call, and its CPU milliseconds a review."""
    parameters = sentiment.model.parameters(model)
    scorer, numpy = Scorer(parameters), NumpyScores(parameters)
    prepare = parameters.tokenizer().prepare

    def score_with_numpy(batch: Sequence[str]) -> object:
        return numpy.of([*map(prepare, batch)])

    singles = [[text] for text in texts]
    batches = [list(texts[i : i + size]) for i in range(0, len(texts) - size + 1, size)]
    yield "`tokenize`", _milliseconds(tokenize, texts)
    yield "`Scorer.score`, one review", _milliseconds(scorer.score, singles)
    yield "without the kernel, one review", _milliseconds(score_with_numpy, singles)
    yield "`Pipeline.predict_proba`, one review", _milliseconds(model.predict_proba, singles)
    yield f"`Scorer.score`, {size} reviews", _milliseconds(scorer.score, batches) / size
    yield (
        f"without the kernel, {size} reviews",
        _milliseconds(score_with_numpy, batches) / size,
    )
    yield (
        f"`Pipeline.predict_proba`, {size} reviews",
        _milliseconds(model.predict_proba, batches) / size,
    )


def _milliseconds(function: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    """Return the mean CPU time of a call; the calls go through ``arguments`` for ``SECONDS``."""
    calls, started = 0, time.process_time()
    while time.process_time() - started < SECONDS:
        for argument in arguments:
            function(argument)
        calls += len(arguments)
    return (time.process_time() - started) / calls * 1000
