"""Imports keep the contracts of .importlinter, and a command loads no library it does not need."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.contract.test_commands import STAGES

PACKAGES = ("sentiment", "components", "serving", "pipelines", "deploy", "monitoring", "tools")
OF_FITTING = {"joblib", "scipy", "skops", "sklearn"}
LARGE = {
    "boto3",
    "matplotlib",
    "pandas",
    "skops",
    "sklearn",
    "sqlalchemy",
}  # up to two seconds each
LARGE_NEEDED = {
    **{stage: {"pandas"} for stage in ("ingest", "validate", "prepare", "count")},
    **{stage: set() for stage in ("merge", "trial", "select")},
    "train": {"pandas", "skops", "sklearn"},
    "evaluate": {"matplotlib", "pandas", "sklearn"},
}
WITH_MLFLOW = {"register", "gate", "promote", "monitor", "queue", "join", "decide"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("imports")
    for package in PACKAGES:
        shutil.copytree(REPO / package, directory / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(REPO / ".importlinter", directory)
    return directory


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, timeout=120
    )


def test_the_contracts_are_kept(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("components/verdict.py", "import pipelines.ir", "Packages import downwards only"),
        ("deploy/version.py", "import pipelines.ir", "Packages import downwards only"),
        ("components/verdict.py", "import serving.metrics", "Packages import downwards only"),
        ("tools/demo.py", "import serving.metrics", "Only serving imports serving"),
        ("components/io/files.py", "import components.gate", "Stages use io, reading and report"),
        ("components/errors.py", "import components.cli", "No circle of imports"),
        ("sentiment/tokens.py", "import pandas", "The model knows neither MLflow nor pandas"),
        ("components/gate.py", "import kfp", "Only component specs, pipelines and monitoring"),
        (
            "components/gate.py",
            "import kserve",
            "Only serving, and the client of cluster_test, import KServe",
        ),
        ("serving/metrics.py", "import mlflow", "Serving needs nothing of training"),
        ("sentiment/scorer.py", "import sentiment.model", "Serving needs nothing of training"),
    ],
)
def test_a_broken_contract_is_noticed(copy, module: str, statement: str, contract: str):
    path = copy / module
    text = path.read_text()
    path.write_text(f"{text}\n{statement}\n")
    try:
        result = lint(copy)
    finally:
        path.write_text(text)
    assert result.returncode == 1
    broken = re.findall(r"^(.+) BROKEN", result.stdout, re.MULTILINE)
    assert [name for name in broken if name.startswith(contract)], result.stdout


def loaded_by(*modules: str) -> set[str]:
    """Return the top-level packages that a new process has loaded after importing ``modules``."""
    program = f"import sys, {', '.join(modules)}; print(*{{n.split('.')[0] for n in sys.modules}})"
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True
    )
    return set(output.stdout.split())


def test_deploying_loads_no_scikit_learn():
    """Half of the seconds until the commands start; they compare the digests of files."""
    loaded = loaded_by("deploy.__main__", "tools.cluster.__main__")
    assert "mlflow" in loaded
    assert not {"skops", "sklearn"} & loaded


def test_the_model_loads_no_server():
    loaded = loaded_by("sentiment.model", "sentiment.store")
    assert not loaded & {"mlflow", "kfp", "kserve", "boto3"}


def test_stages_load_neither_kfp_nor_kserve():
    loaded = loaded_by(*(f"components.{stage}" for stage in STAGES))
    assert not loaded & {"kfp", "kserve", "dvc"}


def test_training_stages_load_no_mlflow():
    stages = [stage for stage in STAGES if stage not in WITH_MLFLOW]
    assert "mlflow" not in loaded_by(*(f"components.{stage}" for stage in stages))


@pytest.mark.parametrize("stage", LARGE_NEEDED)
def test_a_training_stage_loads_no_large_package_without_need(stage: str):
    assert loaded_by(f"components.{stage}") & LARGE <= LARGE_NEEDED[stage]


def test_serving_loads_no_mlflow():
    assert not loaded_by("serving.__main__") & {"mlflow", "kfp", "dvc"}


def test_the_parts_that_serve_load_no_scikit_learn():
    modules = ("confidence", "drift", "model_file", "scorer", "unseen")
    assert not loaded_by(*(f"sentiment.{module}" for module in modules)) & OF_FITTING


def test_a_predictor_with_its_model_loads_no_scikit_learn():
    """A model without stems: NLTK imports scikit-learn where it is installed."""
    program = f"""
import sys, serving.__main__
from serving.model.loading import load
model = load({str(REPO / "tests/recordings/models/tokens-1")!r})
model.scorer.score(["good"])
model.explainer.explain("good", 1)
print(*{{name.split(".")[0] for name in sys.modules}})
"""
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert not set(output.stdout.split()) & OF_FITTING
