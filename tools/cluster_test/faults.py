"""Predictors and versions with a fault, which a deployment must find."""

import tempfile
from pathlib import Path
from typing import Any

import mlflow

from components.io import registry
from components.io.files import read_json, write_json
from sentiment import store
from sentiment.model_file import FACTS_FILE, MODEL_FILE

UNKNOWN_DIGEST = "sha256:" + "f" * 64
DAMAGED = "damaged"  # tag of a version
COPY = "copy_of"  # tag of a version
# the arguments of the container follow, as after `python -m serving`
_BROKEN_SERVER = """\
import itertools
from serving import __main__ as serving, predictor
requests, predict = itertools.count(), predictor.SentimentPredictor.predict
async def broken(*args, **kwargs):
    number = next(requests)
    if number >= {first} and number % {each} == 0:
        raise RuntimeError("a fault of cluster-test")
    return await predict(*args, **kwargs)
predictor.SentimentPredictor.predict = broken
raise SystemExit(serving.main())
"""


def server_failing(first: int, each: int) -> dict[str, Any]:
    """Return the container's command of a server that answers 500 from request ``first`` on.

    Requests count from 0 in each pod; each ``each``-th fails. The server gets ready.
    """
    return {"command": ["python", "-c", _BROKEN_SERVER.format(first=first, each=each)]}


def unloadable_version(client: mlflow.MlflowClient, name: str, number: str) -> str:
    """Return a copy of a version whose model file is cut off, with digests that fit it."""
    return _copy(client, name, number, damage=True)


def second_version(client: mlflow.MlflowClient, name: str, number: str) -> str:
    """Return another version with the files of this one."""
    return _copy(client, name, number, damage=False)


def _copy(client: mlflow.MlflowClient, name: str, number: str, damage: bool) -> str:
    """Return the version that an earlier call made, or register it."""
    query = f"name = '{name}' and tag.`{COPY}` = '{number}' and tag.`{DAMAGED}` = '{damage}'"
    if found := client.search_model_versions(query):
        return str(found[0].version)
    source = client.get_model_version(name, number)
    run = client.get_run(str(source.run_id)).info
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(client, source, Path(scratch))
        tags = dict(source.tags) | {COPY: number, DAMAGED: str(damage)}
        if damage:
            tags["model_digest"] = _damage(folder)
        path = f"cluster-test/{'damaged' if damage else 'copy'}"
        client.log_artifacts(run.run_id, str(folder), path)
    made = client.create_model_version(name, f"{run.artifact_uri}/{path}", run.run_id, tags)
    return str(made.version)


def _damage(folder: Path) -> str:
    model, facts = folder / MODEL_FILE, folder / FACTS_FILE
    model.write_bytes(model.read_bytes()[:1000])
    digest = store.digest(folder)
    write_json(facts, read_json(facts) | {"model_digest": digest})
    return digest
