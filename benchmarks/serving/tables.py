"""Format the figures as Markdown: medians, and their ratios to the first row."""

import statistics
from collections.abc import Sequence
from operator import attrgetter

from benchmarks.serving.comparison import Results
from benchmarks.serving.contenders import Contender
from benchmarks.serving.load import Workload

COLUMNS = {
    "reviews_per_second": "reviews/s",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "CPU ms a review",
    "megabytes": "MB",
}


def of_workload(workload: Workload, contenders: Sequence[Contender], results: Results) -> str:
    lines = [f"### {workload.title}\n", _row("server", *COLUMNS.values()), _row(*["---"] * 6)]
    first: list[float] = []
    for contender in contenders:
        name = contender.description
        if workload.size > 1 and not contender.protocol.batches:
            name += " (one review a request)"
        if contender.name in results.failures:
            why = results.failures[contender.name].replace("|", "\\|")
            lines.append(_row(name, why, "", "", "", ""))
            continue
        figures = _medians(contender, workload, results)
        first = first or figures
        cells = [f"{_short(a)} ({_short(a / b)})" for a, b in zip(figures, first, strict=True)]
        failed = sum(run.failed for run in results.measured[contender.name, workload])
        lines.append(_row(name + (f", {failed} requests failed" if failed else ""), *cells))
    return "\n".join(lines) + "\n"


def of_calls(costs: dict[str, list[float]]) -> str:
    lines = [
        "### No server: calls in a loop\n",
        _row("call", "CPU ms a review"),
        _row(*["---"] * 2),
    ]
    lines += [_row(name, _short(statistics.median(values))) for name, values in costs.items()]
    return "\n".join(lines) + "\n"


def spread(results: Results) -> str:
    """Describe the spread between rounds, so that a reader can tell a difference from noise."""
    cpu = [[run.cpu for run in runs] for runs in results.measured.values()]
    apart = [(max(row) - min(row)) / statistics.median(row) for row in cpu] or [0.0]
    return (
        "Between rounds the CPU time of a row differs by"
        f" {statistics.median(apart):.0%} in the median and {max(apart):.0%} at most."
    )


def _medians(contender: Contender, workload: Workload, results: Results) -> list[float]:
    runs = results.measured[contender.name, workload]
    return [statistics.median(map(attrgetter(name), runs)) for name in COLUMNS]


def _short(number: float) -> str:
    """Return three significant digits, the precision of the measurements."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
