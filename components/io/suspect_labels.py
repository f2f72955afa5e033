"""What components.suspects found, on the registered versions that learned from the same reviews.

It is a tag of the version, and a section of the description that MLflow shows, which is the model
card. The files of the version and reports/model_card.md come from the training alone, so that the
same model has the same card.
"""

import json
import re

import mlflow
from mlflow.entities.model_registry import ModelVersion

from components.io import records, registry
from components.io.records import record
from components.io.runs import shortened

TAG = "suspect_labels"
NAMED = 10  # suspects whose ids are given
_HEADING = "\n## Suspect labels\n"
_SECTION = re.compile(rf"{_HEADING}.*?(?=\n## |\Z)", re.DOTALL)


@record
class SuspectLabels:
    """``contradicted`` labels of ``rows``, found with ``folds`` models.

    ``worst`` are the ids of the least probable ones (:func:`components.io.reviews.identity`), and
    ``digest`` is the SHA-256 of the list: texts stay out of the registry.
    """

    contradicted: int
    rows: int
    folds: int
    worst: tuple[str, ...]
    digest: str


def publish(client: mlflow.MlflowClient, data_digest: str, found: SuspectLabels) -> list[str]:
    """Write the findings to all versions with these reviews, and return their names."""
    versions = _versions(client, data_digest)
    for version in versions:
        _write(client, version, found)
    return [f"{version.name} version {version.version}" for version in versions]


def inherit(client: mlflow.MlflowClient, name: str, number: str) -> None:
    """Write to a version what was found in its reviews before it was registered, if anything."""
    version = client.get_model_version(name, number)
    if TAG in version.tags:
        return
    known = [each for each in _versions(client, version.tags["data_digest"]) if TAG in each.tags]
    if known:
        newest = max(known, key=lambda each: each.last_updated_timestamp or 0)
        where = f"{newest.name} version {newest.version}: tag {TAG}"
        value = json.loads(newest.tags[TAG])
        _write(client, version, records.parse(value, SuspectLabels, where))


def _versions(client: mlflow.MlflowClient, data_digest: str) -> list[ModelVersion]:
    wanted = f"tag.`data_digest` = '{data_digest}'"
    found = client.search_model_versions(wanted, max_results=registry.MOST_RUNS)
    return sorted(found, key=lambda each: (each.name, int(each.version)))


def _write(client: mlflow.MlflowClient, version: ModelVersion, found: SuspectLabels) -> None:
    client.set_model_version_tag(
        version.name, version.version, TAG, json.dumps(records.plain(found))
    )
    described = with_section(version.description or "", found)
    if described != version.description:
        client.update_model_version(version.name, version.version, described)


def with_section(description: str, found: SuspectLabels) -> str:
    """Return a description with the findings at its end, in place of earlier ones."""
    section = _section(found)
    return shortened(_SECTION.sub("", description).rstrip("\n"), len(section)) + section


def _section(found: SuspectLabels) -> str:
    share = found.contradicted / found.rows
    worst = ", ".join(f"`{each}`" for each in found.worst)
    least = f"The least probable of them: {worst}.\n" if worst else ""
    return f"""
{_HEADING}
Of {found.rows} labels of the training, {found.contradicted} ({share:.1%}) are contradicted by a
model that was fitted without them ({found.folds} folds).
{least}`python -m components.suspects` lists them with their texts; SHA-256 of the list: \
`{found.digest}`.
"""
