"""Decide whether to train.

It takes a reason, drift or a low accuracy, and labels or other reviews that no version knows.
"""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components import stage
from components.io import accounts, records, registry
from components.io.records import record
from components.join import Joined
from components.monitor import Drift
from components.reading.content import identify
from components.reading.options import Options
from components.stage import Artifact, parameters

log = logging.getLogger("decide")


@record
class Training:
    """Whether to train, and why, or why not."""

    train: bool
    why: str


@parameters
class Parameters(Options):
    name: str = Field(default="sentiment", description="Registered model.")


def decide(found: Drift, labels: Joined, options: Options, name: str) -> Training:
    """Return the decision.

    Without new labels or other new reviews a training would end with the same model. The sources
    are read only if there is a reason to train.

    Raises:
        UserError: a source cannot be read.
        UnavailableError: a storage, a database or MLflow does not respond.
    """
    reasons = [found.why] * found.drifted + [labels.why] * labels.below
    if not reasons:
        return Training(False, f"no reason to train: {found.why}; {labels.why}")
    digest = accounts.digest(identify(options))
    with registry.connected() as client:
        learned = registry.versions(client, name, {registry.SOURCES_TAG: digest})
    why = "; ".join(reasons)
    if learned:
        return Training(
            False,
            f"nothing new to learn from: version {learned[-1]} has learned from these sources"
            f" and labels. {why}. Label a queue, or bring other reviews: docs/labels.md",
        )
    return Training(True, why)


def run(
    drift: Annotated[Path, Artifact("JSON file from monitor")],
    joined: Annotated[Path, Artifact("JSON file from join")],
    training: Annotated[Path, Artifact("JSON file to write", output=True)],
    parameters: Parameters,
) -> None:
    found, labels = records.read(drift, Drift), records.read(joined, Joined)
    decided = decide(found, labels, parameters, parameters.name)
    records.write(training, decided)
    log.info("%s: %s", "train" if decided.train else "do not train", decided.why)


def main(argv: list[str] | None = None) -> int:
    return stage.main("decide", run, argv, section="ingest")


if __name__ == "__main__":
    raise SystemExit(main())
