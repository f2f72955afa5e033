"""The model card: what a person should know before using a version (Mitchell et al. 2019)."""

from collections.abc import Iterable
from typing import Any

from components import candidates
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

These figures, the ROC curve and the trials of the search are drawn in `plots/`.

## By kind of review

{_table(findings["slices"], slice="", rows="reviews", accuracy="accuracy", **_CALIBRATION)}

## Behaviour

What a user takes for granted: an obvious label, or an edit that must not matter, or must.

{_table(findings["behaviour"], capability="", passed="passed", cases="of")}

## Made from

{_pairs({"training reviews": facts["rows"], "features": facts["features"]} | facts["parameters"])}
{rows((key.replace("_", " "), f"`{value}`") for key, value in digests.items())}

## Search, and what each part is worth

{len(trials)} trials, judged by log loss on the validation reviews. Each rung learned from a larger
share of the training reviews, and kept the better half or so for the next. A candidate is called
by what sets it apart from the default ({_settings(candidates.DEFAULTS)});
*against the default* is the accuracy that this gains or costs.

{_trials(trials)}
"""


def _pairs(values: dict[str, Any]) -> str:
    return f"| | |\n|---|---|\n{rows((key.replace('_', ' '), v) for key, v in values.items())}"


def _table(records: Iterable[dict[str, Any]], **columns: str) -> str:
    """Return records as a table of the columns given with their headings."""
    lines = [[_cell(record[column]) for column in columns] for record in records]
    return rows([list(columns.values()), ["---"] * len(columns), *lines])


def _trials(trials: list[dict[str, Any]]) -> str:
    names = [candidates.difference(each["candidate"]) for each in trials]
    default = {
        each["budget"]: each["valid"]["accuracy"]
        for each, name in zip(trials, names, strict=True)
        if name == "default"
    }
    records = []
    for each, name in zip(trials, names, strict=True):
        accuracy, of_default = each["valid"]["accuracy"], default.get(each["budget"])
        gain = "" if name == "default" or of_default is None else f"{accuracy - of_default:+.4f}"
        records.append(each | each["valid"] | {"candidate": name, "gain": gain})
    columns = {"budget": "share", "iterations": "iterations", "log_loss": "log loss"}
    columns |= {"accuracy": "accuracy", "gain": "against the default"}
    return _table(records, candidate="candidate", **columns)


def _settings(candidate: candidates.Candidate) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in candidate.items())


def rows(lines: Iterable[Iterable[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(value: Any) -> str:
    return str(round(value, 4) if isinstance(value, float) else value)
