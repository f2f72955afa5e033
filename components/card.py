"""The model card: what a person should know before using a version (Mitchell et al. 2019)."""

from collections.abc import Iterable
from typing import Any

from sentiment.model import LABELS

_CALIBRATION = {"expected_calibration_error": "calibration error"}


def write(
    name: str,
    facts: dict[str, Any],
    trials: list[dict[str, Any]],
    metrics: dict[str, float],
    findings: dict[str, Any],
    digests: dict[str, str],
) -> str:
    """Return the card as Markdown; ``trials`` are those of the search, the best first."""
    return f"""# {name}

Tells whether an English review is {LABELS[1]} or {LABELS[0]}, with the probability of
{LABELS[1]}. A linear function of its word n-grams, weighted by naive Bayes log-count ratio and
inverse document frequency; fitted by conjugate gradients, stopped early, and calibrated.

**Meant for** reviews of a sentence or more, in English, of the kind it was trained on.
**Not meant for** other languages, sarcasm, single words, or decisions about people.

## Measured on {metrics["rows"]:.0f} test reviews that it was not trained on

{_pairs({key: f"{value:.4f}" for key, value in metrics.items() if key != "rows"})}

Who leaves the answers below a confidence of {metrics["abstention_threshold"]:.3f} to a person hands
on one in ten, and has an accuracy of {metrics["accuracy_at_90_coverage"]:.4f} on the others.

## Calibration

{_table(findings["calibration"], predicted="probability", observed="were positive", rows="reviews")}

## By kind of review

{_table(findings["slices"], slice="", rows="reviews", accuracy="accuracy", **_CALIBRATION)}

## Behaviour

What a user takes for granted: an obvious label, or an edit that must not matter, or must.

{_table(findings["behaviour"], capability="", passed="passed", cases="of")}

## Made from

{_pairs({"training reviews": facts["rows"], "features": facts["features"]} | facts["parameters"])}
{_rows((key.replace("_", " "), f"`{value}`") for key, value in digests.items())}

## Search

{len(trials)} trials, judged by log loss on the validation reviews. Each rung learned from a larger
share of the training reviews, and kept the better half or so for the next; the candidates of the
smallest differ from the default in one thing, and show what it is worth.

{_trials(trials)}
"""


def _pairs(values: dict[str, Any]) -> str:
    return f"| | |\n|---|---|\n{_rows((key.replace('_', ' '), v) for key, v in values.items())}"


def _table(records: Iterable[dict[str, Any]], **columns: str) -> str:
    """Return records as a table of the columns given with their headings."""
    lines = [[_cell(record[column]) for column in columns] for record in records]
    return _rows([list(columns.values()), ["---"] * len(columns), *lines])


def _trials(trials: list[dict[str, Any]]) -> str:
    names = (*trials[0]["candidate"], "budget", "iterations", "log_loss", "accuracy")
    records = [trial | trial["candidate"] | trial["valid"] for trial in trials]
    return _table(records, **{name: name.replace("_", " ") for name in names})


def _rows(lines: Iterable[Iterable[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(value: Any) -> str:
    return str(round(value, 4) if isinstance(value, float) else value)
