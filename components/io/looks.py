"""The looks at a test set: each challenger that the gate compared with the anchor on it.

A look is a run of the experiment ``NAME-promotions``, which outlives the versions. Its tags say the
rest; :mod:`components.lineage` has the statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import mlflow
from mlflow.entities import Run

from components.io import registry
from components.io.records import record
from components.lineage import levels

_TEST, _LOOK = "look.test", "look."


@record
class Look:
    """A comparison of ``version`` with ``anchor``, the ``number``-th on its test set.

    ``level`` is that of its test, and ``passed`` says whether the gate passed the version;
    ``better`` says whether it is better than the anchor by more than chance.
    """

    version: str
    anchor: str
    number: int
    level: float
    passed: bool = False
    better: bool = False

    def judged(self, passed: bool, figures: Mapping[str, float]) -> "Look":
        """Return the look with its result and what the figures of the comparison say."""
        return replace(self, passed=passed, better=figures.get("better_than_anchor", 0.0) == 1)


def read(client: mlflow.MlflowClient, name: str, test_digest: str) -> list[Look]:
    """Return the looks at a test set in their order, the last one of each version."""
    found = registry.experiment(client, f"{name}-promotions")
    if found is None:
        return []
    runs = client.search_runs(
        [found.experiment_id],
        f"tags.`{_TEST}` = '{test_digest}'",
        max_results=registry.MOST_RUNS,
        order_by=["attributes.start_time ASC"],
    )
    looks = {look.version: look for look in map(_look, runs)}
    return sorted(looks.values(), key=lambda look: look.number)


def _look(run: Run) -> Look:
    tags = run.data.tags
    return Look(
        version=tags[f"{_LOOK}version"],
        anchor=tags[f"{_LOOK}anchor"],
        number=int(tags[f"{_LOOK}number"]),
        level=float(tags[f"{_LOOK}level"]),
        passed=tags[f"{_LOOK}passed"] == "True",
        better=tags[f"{_LOOK}better"] == "True",
    )


def write(client: mlflow.MlflowClient, name: str, test_digest: str, look: Look) -> None:
    """Record a look; the same look again changes nothing."""
    if look in read(client, name, test_digest):
        return
    tags = {
        "mlflow.runName": f"look {look.number}: version {look.version}",
        "mlflow.user": registry.user(),
        _TEST: test_digest,
        f"{_LOOK}version": look.version,
        f"{_LOOK}anchor": look.anchor,
        f"{_LOOK}number": str(look.number),
        f"{_LOOK}level": repr(look.level),
        f"{_LOOK}passed": str(look.passed),
        f"{_LOOK}better": str(look.better),
    }
    experiment = registry.experiment_id(client, f"{name}-promotions")
    run = client.create_run(experiment, tags=tags)
    client.set_terminated(run.info.run_id)


def next_look(past: Sequence[Look], version: str, anchor: str, alpha: float, looks: int) -> Look:
    """Return the look of a version: the one that it had, or a new one behind ``past``.

    ``alpha`` is the level of all of ``looks`` looks together.
    """
    before = next(
        (past[:index] for index, each in enumerate(past) if each.version == version), past
    )
    level = levels([each.passed for each in before], alpha, looks)[-1]
    return Look(version, anchor, len(before) + 1, float(level))


def anchor(looks: Sequence[Look], promoted: set[str], champion: str) -> str:
    """Return the version to compare with: the best so far on the test set.

    ``promoted`` are the versions that ever were champion. The first look at a test set compares
    with the champion of that time.
    """
    better = [look.version for look in looks if look.passed and look.better]
    found = [version for version in better if version in promoted]
    if found:
        return found[-1]
    return looks[0].anchor if looks else champion
