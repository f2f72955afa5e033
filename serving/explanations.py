"""Read the options of a v1 ``:explain`` request and write its explanations."""

from typing import Any, NamedTuple

from kserve.errors import InvalidInput

from sentiment.explanation import Explainer
from sentiment.model import LABELS

MAX_TOP = 100


class Options(NamedTuple):
    """The number of n-grams to show, and the choice to show each token's contribution."""

    top: int = 10
    tokens: bool = False


def read_options(payload: dict[str, Any]) -> Options:
    """Return the options in the optional ``parameters`` of a request.

    Raises:
        InvalidInput: the parameters are not as documented; 400.
    """
    parameters = payload.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput('"parameters" must be an object')
    if not parameters.keys() <= set(Options._fields):
        raise InvalidInput('"parameters" may have top and tokens, and nothing else')
    options = Options(**parameters)
    if type(options.top) is not int or not 0 <= options.top <= MAX_TOP:
        raise InvalidInput(f"parameters.top must be an integer from 0 to {MAX_TOP}")
    if type(options.tokens) is not bool:
        raise InvalidInput("parameters.tokens must be true or false")
    return options


def explain(explainer: Explainer, text: str, options: Options) -> dict[str, Any]:
    """Return the explanation of one text as the caller gets it in JSON."""
    explanation = explainer.explain(text, options.top)
    response: dict[str, Any] = {
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
    if options.tokens:
        response["tokens"] = [[*span, share] for span, share in explanation.tokens]
    return response
