"""Say on a screen what the stages made: reviews, classes, accuracy and the gate's verdict."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.io.files import read_json

REPORTS = Path("reports")
NONE = "none"  # in the place of a version, as in components.io.registry, which imports MLflow
_FEW = 30  # reviews; the accuracy of fewer says little


def lines(reports: Path = REPORTS) -> Iterator[str]:
    """Yield the summary of the files that the stages wrote to ``reports``."""
    validation, metrics, findings, verdict, promotion = (
        read_json(reports / f"{name}.json")
        for name in ("validation", "metrics", "findings", "verdict", "promotion")
    )
    files = validation["files"]
    read, kept = (sum(each[key] for each in files) for key in ("read", "kept"))
    tested = f"{metrics['rows']:.0f} of them test the model"
    yield f"Reviews     {read} read from {_count(len(files), 'file')}, {kept} kept; {tested}"
    yield f"Classes     {', '.join(f'{n} {name}' for name, n in validation['classes'].items())}"
    yield f"Accuracy    {metrics['accuracy']:.4f} on the test reviews"
    if "labelled_rows" in metrics:
        rows, labelled = metrics["labelled_rows"], metrics["labelled_accuracy"]
        yield f"            {labelled:.4f} on {rows:.0f} labelled predictions, kept for tests"
    yield from (f"            {each}" for each in _slices(findings["slices"]))
    outcome = promotion["outcome"]
    yield f"Gate        {verdict['outcome'].upper()}: {verdict['why']}"
    if verdict.get("advice"):
        yield f"Test set    {verdict['advice']}"
    if outcome == "refused" and promotion["to"] == NONE:
        yield "Champion    none yet"
    elif outcome == "refused":
        yield f"Champion    version {promotion['to']} stays"
    else:
        yield f"Champion    version {promotion['to']}, {outcome}"


def next_step(reports: Path = REPORTS) -> str:
    """Return what to do next, by the outcome of the promotion."""
    if read_json(reports / "promotion.json")["outcome"] == "refused":
        return "docs/own-data.md, section 3, has what to do after each refusal"
    return "make serve serves the champion on port 8080"


def _slices(slices: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the accuracy by source, if there are several, and of the worst kind of review."""
    sources = [each for each in slices if each["slice"].startswith("source ")]
    shown = sources if len(sources) > 1 else []
    enough = [each for each in slices if each["rows"] >= _FEW and each not in sources]
    worst = min(enough, key=lambda each: each["accuracy"], default=None)
    yield from (f"{each['accuracy']:.4f} {each['slice']}, {each['rows']} reviews" for each in shown)
    if worst is not None:
        yield f"{worst['accuracy']:.4f} least, {worst['slice']}, {worst['rows']} reviews"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
