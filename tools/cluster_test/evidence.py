"""What was seen, as JSON and as a page of Markdown."""

import logging
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.io.files import replacing, write_json
from tools.cluster_test.answers import are_equal
from tools.cluster_test.deployment import Step
from tools.cluster_test.runs import PipelineRun

log = logging.getLogger("cluster-test")

COLUMNS = ("step", "passed", "exit", "seconds", "requests", "lost", "not counted", "by version")
RUNS = ("run on Kubeflow", "passed", "seconds", "tasks", "version", "verdict", "why")


@dataclass
class Evidence:
    """``versions`` of the cluster and of this commit, ``answers`` by when they were asked for.

    ``skipped`` has what the command did not prove, and why.
    """

    folder: Path
    rate: float
    versions: dict[str, str]
    answers: dict[str, dict[str, float | str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    runs: list[PipelineRun] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def page(self) -> Path:
        return self.folder / "cluster-test.md"

    @property
    def failures(self) -> list[str]:
        """Return the names of the steps, runs and questions that failed."""
        done: list[Step | PipelineRun] = [*self.steps, *self.runs]
        failed = [each.name for each in done if not each.passed]
        return failed + [name for name, each in self.answers.items() if not are_equal(each)]

    def add(self, step: Step) -> None:
        self.steps.append(step)
        outcome = "passed" if step.passed else "FAILED"
        log.info("%s: %s, %d of %d lost", step.name, outcome, step.lost, step.requests)
        self.write()

    def add_answers(self, name: str, answers: dict[str, float | str]) -> None:
        self.answers[name] = answers
        log.info("%s: %s", name, answers)
        self.write()

    def add_run(self, run: PipelineRun) -> None:
        self.runs.append(run)
        outcome = f"passed, version {run.version} {run.verdict}" if run.passed else "FAILED"
        log.info("%s: %s: %s", run.name, outcome, run.why)
        self.write()

    def skip(self, name: str, why: str) -> None:
        self.skipped[name] = why
        log.info("%s: skipped: %s", name, why)
        self.write()

    def write(self) -> None:
        """Write both files; each step does, so that a stopped test leaves what it saw."""
        document = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "rate": self.rate,
            "versions": self.versions,
            "answers": self.answers,
            "steps": [asdict(each) for each in self.steps],
            "runs": [asdict(each) for each in self.runs],
            "skipped": self.skipped,
        }
        write_json(self.folder / "cluster-test.json", document)
        with replacing(self.page) as partial:
            partial.write_text(render(document))

    def publish(self) -> None:
        """Add the page to the summary of a job of GitHub's, where this runs in one."""
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a") as file:
                file.write(self.page.read_text())


def render(document: dict[str, Any]) -> str:
    """Return the page of a document."""
    steps = document["steps"]
    requests, lost = (sum(each[key] for each in steps) for key in ("requests", "lost"))
    lines = ["# What cluster-test has seen", "", document["at"]]
    if steps:
        lines[-1] += f", {document['rate']:g} requests a second"
        lines.append(f"for {len(steps)} steps: {requests} requests counted, {lost} lost.")
    lines.append("")
    lines += _rows(("part", "version"), document["versions"].items())
    asked = [(name, *answers.values()) for name, answers in document["answers"].items()]
    lines += _rows(("asked", "v1", "v2", "gRPC"), asked)
    cells = [
        (
            *(each[key] for key in ("name", "passed", "exit", "seconds", "requests", "lost")),
            each["not_counted"],
            ", ".join(f"{version}: {count}" for version, count in each["versions"].items()),
            each["last_line"],
        )
        for each in steps
    ]
    lines += _rows((*COLUMNS, "last line"), cells)
    runs = [
        (
            *(each[key] for key in ("name", "passed", "seconds")),
            _summary(each["tasks"]),
            f"{each['model']} {each['version']}",
            *(each[key] for key in ("verdict", "why")),
        )
        for each in document["runs"]
    ]
    lines += _rows(RUNS, runs)
    lines += _rows(("skipped", "why"), document["skipped"].items())
    return "\n".join(lines)


def _summary(tasks: dict[str, str]) -> str:
    """Return how many tasks succeeded, and the names of the others with their states."""
    counted = Counter(tasks.values())["succeeded"]
    others = [f"{name} {state}" for name, state in tasks.items() if state != "succeeded"]
    return ", ".join([f"{counted} succeeded", *others])


def _rows(head: tuple[str, ...], rows: Any) -> list[str]:
    """Return a table, and an empty line after it; nothing without rows."""
    table = [[str(cell).replace("|", "/") for cell in row] for row in rows]
    if not table:
        return []
    lines = (f"| {' | '.join(row)} |" for row in table)
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]
