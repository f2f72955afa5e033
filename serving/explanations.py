"""Write v1 predictions, read the options of an ``:explain`` request and write explanations."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from kserve.errors import InvalidInput

from sentiment.exact import Floats
from sentiment.explanation import Explainer, Explanation, Ngram
from sentiment.ngram_keys import Ints
from sentiment.steps import STEP, Steps

MAX_TOP = 100
_SPANS = 8 * STEP  # written in a step
_UNIT = 32  # bytes that are written in a unit of work
_COPIED_UNIT = 1_024
_NAMES = ("top", "tokens", "class")


class Options(NamedTuple):
    """The number of n-grams to show, the choice to show each token's contribution, and the class.

    ``label`` is the number of the class to explain; see
    :meth:`sentiment.explanation.Explainer.explain`.
    """

    top: int = 10
    tokens: bool = False
    label: int | None = None


def read_options(payload: dict[str, Any], classes: Sequence[str]) -> Options:
    """Return the options in the optional ``parameters`` of a request.

    Raises:
        InvalidInput: the parameters are not as documented; 400.
    """
    parameters = payload.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput('"parameters" must be an object')
    if not parameters.keys() <= set(_NAMES):
        raise InvalidInput('"parameters" may have top, tokens and class, and nothing else')
    name = parameters.get("class")
    if name is not None and name not in classes:
        raise InvalidInput(f"parameters.class must be one of {', '.join(classes)}")
    options = Options(
        parameters.get("top", Options().top),
        parameters.get("tokens", Options().tokens),
        None if name is None else classes.index(name),
    )
    if type(options.top) is not int or not 0 <= options.top <= MAX_TOP:
        raise InvalidInput(f"parameters.top must be an integer from 0 to {MAX_TOP}")
    if type(options.tokens) is not bool:
        raise InvalidInput("parameters.tokens must be true or false")
    return options


def prediction(classes: Sequence[str], label: int, probabilities: list[float]) -> dict[str, Any]:
    """Return a prediction as the caller gets it in JSON.

    ``probability`` is that of the second of two classes; with more there is none.
    """
    response: dict[str, Any] = {
        "label": classes[label],
        "probabilities": dict(zip(classes, probabilities, strict=True)),
    }
    if len(classes) == 2:
        response["probability"] = probabilities[1]
    return response


def steps(
    explainer: Explainer, classes: Sequence[str], texts: Sequence[str], options: Options
) -> Steps[memoryview]:
    """Explain texts in steps, and return the response in JSON.

    It may have 40 MB, so that it must not be copied as it grows, nor on its way to the client.
    """
    written = deque([b'{"explanations":['])
    for number, text in enumerate(texts):
        explanation = yield from explainer.steps(text, options.top, options.label)
        written.append(b"," if number else b"")
        for piece in _json(explanation, classes, options):
            written.append(piece)
            yield len(piece) // _UNIT
    written.append(b"]}")
    response = np.empty(sum(map(len, written)), np.uint8).data
    end = 0
    while written:
        piece = written.popleft()
        start, end = end, end + len(piece)
        response[start:end] = piece
        yield len(piece) // _COPIED_UNIT
    return response


def _json(explanation: Explanation, classes: Sequence[str], options: Options) -> Iterator[bytes]:
    """Yield pieces of an explanation in JSON."""
    most = explanation.probabilities.index(max(explanation.probabilities))
    response: dict[str, Any] = prediction(classes, most, explanation.probabilities)
    response["class"] = classes[explanation.label]
    response |= {"log_odds": explanation.log_odds, "bias": explanation.bias}
    yield _unclosed(response) + b',"ngrams":['
    for number, ngram in enumerate(explanation.ngrams):
        yield b"," if number else b""
        yield from _ngram_json(ngram)
    yield b"]," + _unclosed({"other": explanation.other, "words": explanation.words._asdict()})[1:]
    if options.tokens:
        yield b',"tokens":['
        yield from _tokens_json(explanation.spans, explanation.shares)
        yield b"]"
    yield b"}"


def _ngram_json(ngram: Ngram) -> Iterator[bytes]:
    value = {"ngram": ngram.text, "contribution": ngram.contribution, "count": len(ngram.spans)}
    yield _unclosed(value) + b',"spans":['
    for first in range(0, len(ngram.spans), _SPANS):
        piece = ngram.spans[first : first + _SPANS]
        yield b"," if first else b""
        yield orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]}"


def _tokens_json(spans: Ints, shares: Floats) -> Iterator[bytes]:
    """Yield the start, the end and the share of each token."""
    for first in range(0, len(shares), STEP):
        piece = slice(first, first + STEP)
        columns = (*spans[piece].T.tolist(), shares[piece].tolist())
        yield b"," if first else b""
        yield orjson.dumps([*zip(*columns, strict=True)])[1:-1]


def _unclosed(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value)[:-1]
