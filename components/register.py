"""Log a trained model to MLflow, register it as a version, and call it the challenger."""

import importlib.metadata
import logging
import os
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import mlflow
import mlflow.sklearn
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from pydantic import Field

import sentiment
import sentiment.store
from components import stage
from components.behaviour import reading
from components.errors import UserError
from components.io import accounts, killed, records, registry, reviews, runs, suspect_labels
from components.io.accounts import RowAccount
from components.io.files import read_json, replacing, write_json
from components.io.models import load_facts, load_model, load_trials
from components.io.registry import Registered
from components.report import languages
from components.report.card import write as write_card
from components.report.languages import Share
from components.stage import Artifact, parameters
from sentiment.model import class_names
from sentiment.model_file import FINDINGS_FILE

log = logging.getLogger("register")

# the packages that read and run the model file, at the versions that wrote it
REQUIREMENTS = ("numpy", "scikit-learn", "scipy", "skops")
SUITE_TAG = "suite_digest"

EXAMPLE = "A warm, funny film."  # no customer's text: it is stored with every version


def register(
    model_directory: Path,
    metrics: dict[str, float],
    findings: dict[str, Any],
    plots: Path,
    test_digest: str,
    name: str,
    account: RowAccount | None = None,
) -> tuple[Registered, str]:
    """Register the model, set the alias challenger, and return the version and its card.

    A model of the same data is registered once: a second run finds the version and sets the alias.
    Judged by another suite of behaviour it is another version, as the gate asks by that suite.
    """
    facts = load_facts(model_directory)
    digests = {
        "model_digest": facts.model_digest,
        "data_digest": facts.data_digest,
        "test_digest": test_digest,
    }
    trials = load_trials(model_directory)
    try:
        # the card names no commit, so that the same model has the same card
        card = write_card(name, facts, trials, metrics, findings, digests, account)
        suite = str(findings["behaviour"].get("digest", reading.NONE))
        described = {
            "languages": languages.describe(Share(**each) for each in findings["languages"]),
            SUITE_TAG: suite,
        }
        builtin = findings["behaviour"]["name"] == reading.BUILTIN
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # the other arguments were checked when they were read
        raise UserError(
            f"--metrics and --findings are not those that evaluate writes ({error!r})"
        ) from error
    tags = digests | {"git_commit": _git_commit()} | described
    # earlier releases set no such tag, and asked what is the built-in suite today
    suites = (suite, None) if builtin else (suite,)
    with registry.connected(create=True) as client:
        killed.close_runs(client, name)
        version = _find(client, name, digests, suites)
        if version is None:
            with tempfile.TemporaryDirectory() as scratch:
                packed = Path(scratch) / "model"
                _pack(model_directory, packed)
                (packed / "model_card.md").write_text(card)
                write_json(packed / FINDINGS_FILE, findings)
                logged = facts, trials, metrics, tags, card, plots, account
                made = runs.record(client, name, packed, *logged)
            version = _find(client, name, digests, suites) or made
            if version != made:
                runs.remove(client, name, made)
                log.info("removed version %s again", made)
            log.info("registered %s version %s", name, version)
        else:
            log.info("%s version %s is this model already", name, version)
        suspect_labels.inherit(client, name, version)
        if account is not None and account.sources:
            client.set_model_version_tag(name, version, registry.SOURCES_TAG, account.sources)
        registry.set_alias(client, name, registry.CHALLENGER, version)
    return Registered(name, version, **digests), card


def _find(
    client: mlflow.MlflowClient,
    name: str,
    digests: dict[str, str],
    suites: Collection[str | None],
) -> str | None:
    """Return the first version of the model, judged by one of the suites, that still has files."""
    wanted = " and ".join(f"tag.`{key}` = '{value}'" for key, value in digests.items())
    found = client.search_model_versions(f"name = '{name}' and {wanted}")
    same = [each for each in found if each.tags.get(SUITE_TAG) in suites]
    for version in sorted(same, key=lambda each: int(each.version)):
        if registry.has_files(version):
            return str(version.version)
        log.warning("%s version %s is this model, and its files are gone", name, version.version)
    return None


def _pack(model_directory: Path, output: Path) -> None:
    """Write the model in MLflow's scikit-learn flavour, with the files that train wrote."""
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]
    model = load_model(model_directory)
    mlflow.sklearn.save_model(
        model,
        output,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(str), (-1,))]),
            outputs=Schema([TensorSpec(np.dtype(float), (-1, len(class_names(model))))]),
        ),
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
    """Return the commit, with ``-dirty`` at its end if files differ from it, or ``unknown``.

    The training image holds no repository; its environment names the commit it was built from.
    """
    if built := os.environ.get("GIT_COMMIT"):
        return built
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@parameters
class Parameters:
    name: str = Field(default="sentiment", pattern=r"^[^/:'\"]+$", description="Registered model.")


def run(
    model: Annotated[Path, Artifact("directory from train", "Model")],
    metrics: Annotated[Path, Artifact("JSON file from evaluate")],
    findings: Annotated[Path, Artifact("JSON file from evaluate")],
    plots: Annotated[Path, Artifact("directory from evaluate")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    registered: Annotated[Path, Artifact("JSON file to write", output=True)],
    card: Annotated[Path, Artifact("Markdown file to write", "Markdown", output=True)],
    parameters: Parameters,
) -> None:
    if not plots.is_dir():
        raise UserError(f"--plots {plots}: no such directory")
    values, found = records.read(metrics, dict[str, float]), read_json(findings)
    digest = reviews.digest(reviews.labelled(test))
    account = accounts.beside(test)
    version, text = register(model, values, found, plots, digest, parameters.name, account)
    records.write(registered, version)
    with replacing(card) as partial:
        partial.write_text(text)


def main(argv: list[str] | None = None) -> int:
    return stage.main("register", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
