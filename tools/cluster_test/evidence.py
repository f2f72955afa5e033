"""What was seen, as JSON and as a page of Markdown."""

import logging
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.io.files import replacing, write_json
from tools.cluster_test.answers import are_equal
from tools.cluster_test.deployment import Step

# what this command does not prove yet, and why
NOT_PART = {
    "training on Kubeflow": "the command has no such step yet",
    "retraining on drift": "the command has no such step yet",
}
log = logging.getLogger("cluster-test")

COLUMNS = ("step", "passed", "exit", "seconds", "requests", "lost", "not counted", "by version")


@dataclass
class Evidence:
    """``versions`` of the cluster and of this commit, ``answers`` by when they were asked for."""

    folder: Path
    rate: float
    versions: dict[str, str]
    answers: dict[str, dict[str, float | str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=lambda: dict(NOT_PART))

    @property
    def page(self) -> Path:
        return self.folder / "cluster-test.md"

    @property
    def failures(self) -> list[str]:
        """Return the names of the steps and questions that failed."""
        failed = [each.name for each in self.steps if not each.passed]
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

    def write(self) -> None:
        """Write both files; each step does, so that a stopped test leaves what it saw."""
        document = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "rate": self.rate,
            "versions": self.versions,
            "answers": self.answers,
            "steps": [asdict(each) for each in self.steps],
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
    lines = [
        "# Deployments under load",
        "",
        f"{document['at']}, {document['rate']:g} requests a second",
    ]
    lines += [f"for {len(steps)} steps: {requests} requests counted, {lost} lost.", ""]
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
    lines += _rows(("skipped", "why"), document["skipped"].items())
    return "\n".join(lines)


def _rows(head: tuple[str, ...], rows: Any) -> list[str]:
    """Return a table, and an empty line after it; nothing without rows."""
    table = [[str(cell).replace("|", "/") for cell in row] for row in rows]
    if not table:
        return []
    lines = (f"| {' | '.join(row)} |" for row in table)
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]
