"""Log a trained model to MLflow, register it as a version, and call it the challenger."""

import argparse
import importlib.metadata
import logging
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import mlflow.sklearn
import numpy as np
from mlflow.entities import Metric, Param
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

import sentiment
import sentiment.store
from components import candidates, card, errors, registry, reviews
from components.files import read_json, replacing, write_json
from components.models import TRIALS_FILE, load_facts, load_model
from sentiment.store import FINDINGS_FILE

log = logging.getLogger("register")

# all that the model file needs to be read and run, at the versions that wrote it
REQUIREMENTS = ("numpy", "scikit-learn", "scipy", "skops")
LONGEST_DESCRIPTION = 5_000  # characters, MLflow's column; PostgreSQL refuses more
EXAMPLE = "A warm, funny film."  # not a customer's: it goes wherever the model goes
SIGNATURE = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(str), (-1,))]),
    outputs=Schema([TensorSpec(np.dtype(float), (-1, 2))]),
)


def register(
    model_directory: Path,
    metrics: dict[str, float],
    findings: dict[str, Any],
    plots: Path,
    test_digest: str,
    name: str,
) -> tuple[dict[str, str], str]:
    """Return name, version and digests of the registered model, the new challenger, and its card.

    The same model, trained on the same data, is registered once: to run again, after a kill or
    for no reason, finds the version and sets the alias.
    """
    facts = load_facts(model_directory)
    digests = {
        "model_digest": facts["model_digest"],
        "data_digest": facts["data_digest"],
        "test_digest": test_digest,
    }
    tags = digests | {"git_commit": _git_commit()}
    trials = read_json(model_directory / TRIALS_FILE)
    # it names no commit, so that the same model has the same card
    text = card.write(name, facts, trials, metrics, findings, digests)
    with registry.connected() as client:
        version = _find(client, name, digests)
        if version is None:
            with tempfile.TemporaryDirectory() as scratch:
                packed = Path(scratch) / "model"
                _pack(model_directory, packed)
                (packed / "model_card.md").write_text(text)
                write_json(packed / FINDINGS_FILE, findings)
                version = _log(client, name, packed, facts, trials, metrics, tags, text, plots)
            log.info("registered %s version %s", name, version)
        else:
            log.info("%s version %s is this model already", name, version)
        client.set_registered_model_alias(name, registry.CHALLENGER, version)
    return {"name": name, "version": version, **digests}, text


def _find(client: mlflow.MlflowClient, name: str, digests: dict[str, str]) -> str | None:
    wanted = " and ".join(f"tag.`{key}` = '{value}'" for key, value in digests.items())
    found = client.search_model_versions(f"name = '{name}' and {wanted}")
    return str(min(int(version.version) for version in found)) if found else None


def _log(
    client: mlflow.MlflowClient,
    name: str,
    packed: Path,
    facts: dict[str, Any],
    trials: list[dict[str, Any]],
    metrics: dict[str, float],
    tags: dict[str, str],
    text: str,
    plots: Path,
) -> str:
    experiment = registry.experiment_id(client, name)
    run = client.create_run(
        experiment, tags=tags | {"mlflow.runName": tags["model_digest"][:12]}
    ).info
    log.info("logging run %s", run.run_id)
    params = facts["parameters"] | {"train_rows": facts["rows"], "features": facts["features"]}
    valid = {key: facts["valid"][key] for key in ("accuracy", "log_loss")}
    measured = metrics | {f"valid_{key}": value for key, value in valid.items()}
    client.log_batch(
        run.run_id,
        metrics=[Metric(key, value, run.start_time, 0) for key, value in measured.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    for trial in trials:
        _log_trial(client, experiment, run.run_id, trial)
    client.log_artifacts(run.run_id, str(packed), "model")
    client.log_artifacts(run.run_id, str(plots), "plots")
    client.set_terminated(run.run_id)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{run.artifact_uri}/model"
    return str(
        client.create_model_version(
            name, source, run.run_id, tags, description=_shown(text)
        ).version
    )


def _shown(card: str) -> str:
    """Return as many whole lines of the card as the registry's own database has room for."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    rest = "\n… and more in `model_card.md` of the model"
    return card[: LONGEST_DESCRIPTION - len(rest)].rpartition("\n")[0] + rest


def _log_trial(
    client: mlflow.MlflowClient, experiment: str, parent: str, trial: dict[str, Any]
) -> None:
    """Log a trial of the search as a run nested in that of the model."""
    called = f"{candidates.name(trial['candidate'])} of {trial['budget']:.0%}"
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": called}
    run = client.create_run(experiment, tags=tags).info
    params = trial["candidate"] | {key: trial[key] for key in ("budget", "iterations", "min_df")}
    values = {key: trial["valid"][key] for key in ("accuracy", "log_loss")}
    metrics = [Metric(f"valid_{key}", value, run.start_time, 0) for key, value in values.items()]
    for step, loss in enumerate(trial["valid"]["losses"], 1):
        metrics.append(Metric("valid_log_loss_by_iteration", loss, run.start_time, step))
    client.log_batch(run.run_id, metrics, [Param(key, str(value)) for key, value in params.items()])
    client.set_terminated(run.run_id)


def _pack(model_directory: Path, output: Path) -> None:
    """Write the model in MLflow's scikit-learn flavour, with the very file that train wrote."""
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]
    mlflow.sklearn.save_model(
        load_model(model_directory),
        output,
        signature=SIGNATURE,
        input_example=np.array([EXAMPLE]),
        pip_requirements=requirements,
        code_paths=[str(Path(sentiment.__file__).parent)],
        serialization_format="skops",
        skops_trusted_types=sentiment.store.TRUSTED_TYPES,
        pyfunc_predict_fn="predict_proba",
    )
    for file in model_directory.iterdir():
        (output / file.name).write_bytes(file.read_bytes())


def _git_commit() -> str:
    """Return the commit checked out, ``-dirty`` behind it where files differ, or unknown.

    In the training image, which holds no repository, it is the commit that the image was built of.
    """
    if built := os.environ.get("GIT_COMMIT"):
        return built
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.register", description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="directory from train")
    parser.add_argument("--metrics", required=True, type=Path, help="JSON file from evaluate")
    parser.add_argument("--findings", required=True, type=Path, help="JSON file from evaluate")
    parser.add_argument("--plots", required=True, type=Path, help="directory from evaluate")
    parser.add_argument("--test", required=True, type=Path, help="directory from prepare")
    parser.add_argument("--name", default="sentiment", help="default: %(default)s")
    parser.add_argument("--registered", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--card", required=True, type=Path, help="Markdown file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        metrics, findings = read_json(args.metrics), read_json(args.findings)
        test_digest = reviews.digest(reviews.labelled(args.test))
        registered, text = register(
            args.model, metrics, findings, args.plots, test_digest, args.name
        )
        write_json(args.registered, registered)
        with replacing(args.card) as partial:
            partial.write_text(text)

    return errors.run("register", work)


if __name__ == "__main__":
    raise SystemExit(main())
