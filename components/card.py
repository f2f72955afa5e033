"""The model card: what a person should know before using a version (Mitchell et al. 2019)."""

from typing import Any

from sentiment.model import LABELS


def write(
    name: str,
    facts: dict[str, Any],
    candidates: list[dict[str, Any]],
    metrics: dict[str, float],
    digests: dict[str, str],
) -> str:
    """Return the card as Markdown; ``candidates`` are those that the model was chosen among."""
    return f"""# {name}

Tells whether an English review is {LABELS[1]} or {LABELS[0]}, with the probability of
{LABELS[1]}. A linear model over the presence of word n-grams: logistic regression on naive Bayes
log-count ratios.

**Meant for** reviews of a sentence or more, in English, of the kind it was trained on.
**Not meant for** other languages, sarcasm, single words, or decisions about people.

## Measured on {metrics["rows"]:.0f} test reviews that it was not trained on

{_table({key: value for key, value in metrics.items() if key != "rows"}, "{:.4f}")}

## Made from

{_table({"training reviews": facts["rows"], "features": facts["features"]}, "{}")}
{_rows(facts["parameters"], "{}")}
{_rows(digests, "`{}`")}

## Chosen among {len(candidates)} by log loss on {facts["valid"]["rows"]} validation reviews

{_candidates(candidates)}
"""


def _table(values: dict[str, Any], form: str) -> str:
    return f"| | |\n|---|---|\n{_rows(values, form)}"


def _rows(values: dict[str, Any], form: str) -> str:
    return "\n".join(f"| {key.replace('_', ' ')} | {form.format(v)} |" for key, v in values.items())


def _candidates(candidates: list[dict[str, Any]]) -> str:
    names = list(candidates[0]["parameters"])
    lines = [[*names, "log loss", "accuracy"], ["---"] * (len(names) + 2)]
    for candidate in candidates:
        valid = candidate["valid"]
        figures = [f"{valid['log_loss']:.4f}", f"{valid['accuracy']:.4f}"]
        lines.append([*map(str, candidate["parameters"].values()), *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
