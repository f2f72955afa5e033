"""The registered versions that were, or may have been, fitted with a text."""

import logging

from mlflow.entities.model_registry import ModelVersion

from components.errors import UnavailableError, UserError
from components.forgetting.cache import Found
from components.forgetting.removal import Left
from components.io import registry

log = logging.getLogger("forget")


def fitted_with(name: str, found: Found, digest: str | None) -> list[Left]:
    """Return the versions whose training data are not known to be without the texts.

    ``digest`` is that of the training data of the present model.
    """
    clean = {*found.clean, digest} - {None}
    try:
        with registry.connected() as client:
            numbers = registry.versions(client, name)
            versions = [registry.find_version(client, name, number) for number in numbers]
    except (UserError, UnavailableError) as error:
        return [Left(f"registered versions of {name}", f"not known: {error}")]
    return [
        _left(version, version.tags.get("data_digest") in found.data_digests)
        for version in versions
        if version.tags.get("data_digest") not in clean
    ]


def _left(version: ModelVersion, known: bool) -> Left:
    aliases = f" (now {', '.join(sorted(version.aliases))})" if version.aliases else ""
    was = "was fitted with it" if known else "may have been fitted with it: its data are not here"
    advice = "delete it once another version is promoted" if aliases else "delete it"
    return Left(
        f"{version.name} version {version.version}{aliases}",
        f"{was}; {advice}, in MLflow's UI or client.delete_model_version, and run mlflow gc",
    )
