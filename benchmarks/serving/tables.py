"""The figures as Markdown: medians, and their ratios to the first row."""

import statistics
from collections.abc import Sequence
from operator import attrgetter

from benchmarks.serving.comparison import Results
from benchmarks.serving.contenders import Contender
from benchmarks.serving.load import Load

COLUMNS = {
    "reviews_per_second": "reviews/s",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "CPU ms a review",
    "megabytes": "MB",
}


def of_load(load: Load, contenders: Sequence[Contender], results: Results) -> str:
    lines = [f"### {load.title}\n", _row("server", *COLUMNS.values()), _row(*["---"] * 6)]
    first: list[float] = []
    for contender in contenders:
        name = contender.description
        if load.size > 1 and not contender.protocol.batches:
            name += " (one review a request)"
        if contender.name in results.failures:
            why = results.failures[contender.name].replace("|", "\\|")
            lines.append(_row(name, why, "", "", "", ""))
            continue
        figures = _medians(contender, load, results)
        first = first or figures
        cells = [f"{_short(a)} ({_short(a / b)})" for a, b in zip(figures, first, strict=True)]
        failed = sum(each.failed for each in results.measured[contender.name, load])
        lines.append(_row(name + (f", {failed} requests failed" if failed else ""), *cells))
    return "\n".join(lines) + "\n"


def of_floor(costs: dict[str, list[float]]) -> str:
    lines = [
        "### No server: calls in a loop\n",
        _row("call", "CPU ms a review"),
        _row(*["---"] * 2),
    ]
    lines += [_row(name, _short(statistics.median(found))) for name, found in costs.items()]
    return "\n".join(lines) + "\n"


def spread(results: Results) -> str:
    """Say how far the rounds lie apart, for a reader to tell a difference from noise."""
    cpu = [[each.cpu for each in runs] for runs in results.measured.values()]
    apart = [(max(found) - min(found)) / statistics.median(found) for found in cpu] or [0.0]
    return (
        "Between rounds the CPU time of a row differs by"
        f" {statistics.median(apart):.0%} in the median and {max(apart):.0%} at most."
    )


def _medians(contender: Contender, load: Load, results: Results) -> list[float]:
    runs = results.measured[contender.name, load]
    return [statistics.median(map(attrgetter(name), runs)) for name in COLUMNS]


def _short(number: float) -> str:
    """Return three digits, as what was measured has no more."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
