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
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

import sentiment
import sentiment.store
from components import cli
from components.io import registry, reviews, runs
from components.io.files import read_json, replacing, write_json
from components.io.models import TRIALS_FILE, load_facts, load_model
from components.report import card
from sentiment.store import FINDINGS_FILE

log = logging.getLogger("register")

# all that the model file needs to be read and run, at the versions that wrote it
REQUIREMENTS = ("numpy", "scikit-learn", "scipy", "skops")
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
                version = runs.record(
                    client, name, packed, facts, trials, metrics, tags, text, plots
                )
            log.info("registered %s version %s", name, version)
        else:
            log.info("%s version %s is this model already", name, version)
        client.set_registered_model_alias(name, registry.CHALLENGER, version)
    return {"name": name, "version": version, **digests}, text


def _find(client: mlflow.MlflowClient, name: str, digests: dict[str, str]) -> str | None:
    wanted = " and ".join(f"tag.`{key}` = '{value}'" for key, value in digests.items())
    found = client.search_model_versions(f"name = '{name}' and {wanted}")
    return str(min(int(version.version) for version in found)) if found else None


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

    return cli.run("register", work)


if __name__ == "__main__":
    raise SystemExit(main())
