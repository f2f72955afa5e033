"""The model card: what a person should know before using a version (Mitchell et al. 2019)."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from components.io.accounts import FileAccount, RowAccount
from components.io.candidates import DEFAULTS, Trial
from components.io.models import TrainingFacts
from components.report import languages
from components.report.languages import NAMES, Share
from components.report.measures import SOURCE, accuracy_interval

BUILTIN = "imdb"  # the set of the built-in reviews
_OF_SLICE = {
    "accuracy": "accuracy",
    "expected_calibration_error": "calibration error",
    "abstention_threshold": "confidence of 90%",
    "accuracy_at_90_coverage": "accuracy of these",
}
_OF_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1"}
_COUNTED = ("rows", "labelled")  # counts, and what has a sentence of its own
_OF_CLASS["calibration_error"] = "calibration error"
SHOWN_FILES = 20  # of the account of rows; the run in MLflow has all


def write(
    name: str,
    facts: TrainingFacts,
    trials: list[Trial],
    metrics: dict[str, float],
    findings: dict[str, Any],
    digests: dict[str, str],
    account: RowAccount | None = None,
) -> str:
    """Return the card as Markdown; ``trials`` are all trials of the search, the best first.

    ``account`` says what became of the rows of the sources, if the reviews have it.
    """
    *others, last = facts.classes
    right, tested = round(metrics["accuracy"] * metrics["rows"]), round(metrics["rows"])
    low, high = accuracy_interval(right, tested)
    observed = "were right" if len(others) > 1 else f"were {last}"
    return f"""# {name}

Tells whether a review is {", ".join(others)} or {last}, with the probability of each.
{"A linear function" if len(others) == 1 else "For each class a linear function"} of its word
n-grams, weighted by naive Bayes log-count ratio and inverse document frequency; fitted by conjugate
gradients, stopped early, and calibrated.

**Meant for** reviews of a sentence or more, in {_languages(findings["languages"])}, and of the kind
it was trained on.
**Not meant for** other languages, sarcasm, single words, or decisions about people.

## Measured on {metrics["rows"]:.0f} test reviews, none of them used in training

{_pairs({key: f"{value:.4f}" for key, value in metrics.items() if not key.startswith(_COUNTED)})}
{_labelled(metrics)}

The 95% interval of the accuracy is {low:.4f} to {high:.4f}.
{_split(findings, metrics["rows"])}

If a person answers the tenth of the reviews whose confidence is below
{metrics["abstention_threshold"]:.3f}, the accuracy on the others is
{metrics["accuracy_at_90_coverage"]:.4f}.

## Calibration

{_table(findings["calibration"], predicted="probability", observed=observed, rows="reviews")}

The directory `plots/` has these figures, the ROC curve and the trials of the search.

## By class

{_table(findings["classes"], **{"class": ""}, rows="reviews", **_OF_CLASS)}

## By kind of review

*Confidence of 90%* is the confidence that nine tenths of the reviews of a kind reach: the threshold
below which a person may answer.

{_table(findings["slices"], slice="", rows="reviews", **_OF_SLICE)}

{_behaviour(findings["behaviour"])}
## Made from

{_pairs({"training reviews": facts.rows, "features": facts.features} | facts.parameters)}
{rows((key.replace("_", " "), f"`{value}`") for key, value in digests.items())}

{_rows_read(account)}
## Search, and what each part is worth

{len(trials)} trials, judged by log loss on the validation reviews. Each rung learned from a larger
share of the training reviews and kept about the better half for the next rung. The name of a
candidate says where it differs from the default ({_settings(DEFAULTS)});
*against the default* is the accuracy that the difference gains or costs.

{_trials(trials)}
"""


def _labelled(metrics: dict[str, float]) -> str:
    if "labelled_rows" not in metrics:
        return ""
    return f"""
On {metrics["labelled_rows"]:.0f} predictions that were labelled after they were served, none of
them used in training, the accuracy is {metrics["labelled_accuracy"]:.4f}.
"""


def _languages(found: list[dict[str, Any]]) -> str:
    return languages.describe(Share(**each) for each in found)


def _behaviour(found: dict[str, Any]) -> str:
    if "unfit" in found:
        return f"## Behaviour\n\nNot judged: {found['unfit']}.\n"
    return f"""## Behaviour

Cases that a user expects to pass: an obvious label, an edit that must not change the answer, or
an edit that must. They are those of the suite {found["name"]}, in {NAMES[found["language"]]}, with
the digest `{found["digest"][:16]}`.

{_table(found["results"], capability="", passed="passed", cases="of")}
"""


def _split(findings: dict[str, Any], rows: float) -> str:
    """Return what the test reviews have in common with those of the training."""
    found = findings["groups"]
    if found["rows"]:
        text = f"{found['rows']} of them are in {found['groups']} groups (`ingest.group_column`),"
        text += " of which no review was used in training."
        return text + " The others were split by their text." * (found["rows"] < rows)
    text = """The split knows no groups (`ingest.group_column`): reviews of one thing may be on both
sides, which flatters these figures."""
    if f"{SOURCE}{BUILTIN}" in (each["slice"] for each in findings["slices"]):
        text += f""" In the built-in reviews (source {BUILTIN}) 96% of the test reviews are of films
that are also in training, which flatters accuracy by about .012
(`python -m benchmarks.official`)."""
    return text


def _rows_read(account: RowAccount | None) -> str:
    """Return what became of the rows of each file, the largest files first."""
    if account is None or not account.files:
        return ""
    largest = sorted(account.files, key=lambda each: -each.read)
    shown, others = largest[:SHOWN_FILES], largest[SHOWN_FILES:]
    lines = [_file_line(each.file, [each]) for each in shown]
    if others:
        lines.append(_file_line(f"{len(others)} more files", others))
    if len(account.files) > 1:
        lines.append(_file_line(f"all {len(account.files)} files", account.files))
    table = rows([["file", "rows read", "kept", "dropped"], ["---"] * 4, *lines])
    prepared = ""
    if account.prepared:
        reasons = ", ".join(f"{count} {why}" for why, count in account.prepared.items())
        prepared = f"\nOf those kept, these were dropped before the split: {reasons}.\n"
    return f"""## Rows read

{table}
{prepared}"""


def _file_line(name: str, files: Iterable[FileAccount]) -> list[Any]:
    read = kept = 0
    dropped: Counter[str] = Counter()
    for file in files:
        read += file.read
        kept += file.kept
        dropped.update(file.dropped)
    reasons = ", ".join(f"{count} ({why})" for why, count in dropped.most_common())
    return [name, read, kept, reasons or 0]


def _pairs(values: dict[str, Any]) -> str:
    return f"| | |\n|---|---|\n{rows((key.replace('_', ' '), v) for key, v in values.items())}"


def _table(records: Iterable[dict[str, Any]], **columns: str) -> str:
    """Return records as a table of the columns given with their headings."""
    lines = [[_cell(record[column]) for column in columns] for record in records]
    return rows([list(columns.values()), ["---"] * len(columns), *lines])


def _trials(trials: list[Trial]) -> str:
    accuracies = {
        trial.budget: trial.valid.accuracy
        for trial in trials
        if trial.candidate.difference == "default"
    }
    records = []
    for trial in trials:
        name, accuracy = trial.candidate.difference, trial.valid.accuracy
        reference = accuracies.get(trial.budget)
        gain = "" if name == "default" or reference is None else f"{accuracy - reference:+.4f}"
        records.append(
            {
                "candidate": name,
                "budget": trial.budget,
                "iterations": trial.iterations,
                "log_loss": trial.valid.log_loss,
                "accuracy": accuracy,
                "gain": gain,
            }
        )
    columns = {"budget": "share", "iterations": "iterations", "log_loss": "log loss"}
    columns |= {"accuracy": "accuracy", "gain": "against the default"}
    return _table(records, candidate="candidate", **columns)


def _settings(values: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items())


def rows(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines of cells as those of a table of Markdown, whatever is in the cells."""
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def _escaped(value: Any) -> str:
    """Return a cell that ends neither itself nor its line; a backslash would undo an escape."""
    text = " ".join(str(value).split())
    return re.sub(r"(\\*)\|", r"\1\1\\|", text)


def _cell(value: Any) -> str:
    return str(round(value, 4) if isinstance(value, float) else value)
