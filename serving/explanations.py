"""Explanations as callers ask for them and get them: ``:explain`` of the v1 protocol."""

from typing import Any, NamedTuple

from kserve.errors import InvalidInput

from sentiment.explanation import Explainer
from sentiment.model import LABELS

MAX_TOP = 100
_EVENT = "application/cloudevents+json"


class Options(NamedTuple):
    """How many n-grams to show, and whether to show the contribution of every token."""

    top: int = 10
    tokens: bool = False


def options(payload: dict[str, Any]) -> Options:
    """Return what the optional ``parameters`` of a request ask for.

    Raises:
        InvalidInput: they are not of the form that is documented; 400.
    """
    given = payload.get("parameters", {})
    if not isinstance(given, dict):
        raise InvalidInput('"parameters" must be an object')
    if not given.keys() <= set(Options._fields):
        raise InvalidInput('"parameters" may have top and tokens, and nothing else')
    asked = Options(**given)
    if type(asked.top) is not int or not 0 <= asked.top <= MAX_TOP:
        raise InvalidInput(f"parameters.top must be an integer from 0 to {MAX_TOP}")
    if type(asked.tokens) is not bool:
        raise InvalidInput("parameters.tokens must be true or false")
    return asked


def keep_event(headers: dict[str, str]) -> None:
    """Drop the headers of the request but those that make it a CloudEvent.

    KServe sends the headers that it gave to ``explain`` back to the caller, and makes the answer
    to an event an event by them.
    """
    for name in list(headers):
        if not name.startswith("ce-") and headers[name] != _EVENT:
            del headers[name]


def explain(explainer: Explainer, text: str, asked: Options) -> dict[str, Any]:
    explanation = explainer.explain(text, asked.top)
    answer: dict[str, Any] = {
        "label": LABELS[explanation.probability > 0.5],
        "probability": explanation.probability,
        "log_odds": explanation.log_odds,
        "bias": explanation.bias,
        "ngrams": [
            {
                "ngram": ngram.text,
                "contribution": ngram.contribution,
                "count": len(ngram.spans),
                "spans": ngram.spans,
            }
            for ngram in explanation.ngrams
        ],
        "other": explanation.other,
    }
    if asked.tokens:
        answer["tokens"] = [[*span, share] for span, share in explanation.tokens]
    return answer
