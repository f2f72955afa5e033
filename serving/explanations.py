"""Write v1 predictions, read the options of an ``:explain`` request and write explanations."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from kserve.errors import InvalidInput
from orjson import Fragment

from sentiment.exact import Floats
from sentiment.explanation import Explainer, Explanation, Ngram
from sentiment.ngram_keys import Ints
from sentiment.steps import STEP, Steps

MAX_TOP = 100
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

    It is not copied as it grows, nor on its way to the client: it may have 40 MB.
    """
    written = bytearray(b'{"explanations":[')
    for number, text in enumerate(texts):
        if number:
            written += b","
        explanation = yield from explainer.steps(text, options.top, options.label)
        yield from _write(written, explanation, classes, options)
    written += b"]}"
    return memoryview(written)


def _write(
    written: bytearray, explanation: Explanation, classes: Sequence[str], options: Options
) -> Steps[None]:
    most = explanation.probabilities.index(max(explanation.probabilities))
    response: dict[str, Any] = prediction(classes, most, explanation.probabilities)
    response |= {
        "class": classes[explanation.label],
        "log_odds": explanation.log_odds,
        "bias": explanation.bias,
        "ngrams": (yield from _write_ngrams(explanation.ngrams)),
        "other": explanation.other,
        "words": explanation.words._asdict(),
    }
    written += orjson.dumps(response)
    if options.tokens:
        written[-1:] = b',"tokens":['
        yield from _write_tokens(written, explanation.spans, explanation.shares)
        written += b"]}"


def _write_ngrams(ngrams: list[Ngram]) -> Steps[list[Fragment]]:
    fragments = []
    for ngram in ngrams:
        value = {
            "ngram": ngram.text,
            "contribution": ngram.contribution,
            "count": len(ngram.spans),
            "spans": ngram.spans,
        }
        fragments.append(Fragment(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)))
        yield len(ngram.spans) // 8
    return fragments


def _write_tokens(written: bytearray, spans: Ints, shares: Floats) -> Steps[None]:
    """Write the start, the end and the share of each token."""
    for first in range(0, len(shares), STEP):
        piece = slice(first, first + STEP)
        columns = (*spans[piece].T.tolist(), shares[piece].tolist())
        written += b"," if first else b""
        written += orjson.dumps([*zip(*columns, strict=True)])[1:-1]
        yield len(shares[piece])
