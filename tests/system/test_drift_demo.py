"""Drift, alert, confirmation, training and gate: all real, on 3,000 reviews and one candidate."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from components import gate, promote, register
from components.io import reviews
from components.io.files import read_json
from components.verdict import Limits
from tests.system.conftest import clone
from tools import drift_demo
from tools.loop import loop

IN_DOMAIN = 6_000
TIMES = 20.0  # as fast: ten minutes in thirty seconds, which is how long captured requests may wait


@pytest.fixture
def project(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose champion was made of 3,000 reviews, and whose training tries one candidate."""
    missing = [name for name in ("prometheus", "prometheus-alertmanager") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make packages")
    project = clone(tmp_path / "project")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (project / "data").mkdir()
    shutil.copy(trained.reviews, project / "data/reviews.parquet")
    shutil.copytree(trained.test, project / "data/test")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["trial"]["rungs"]["1"]["given"] = {"candidates": ["default"]}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with chdir(project):
        _promote(trained)
    return project


def _promote(trained) -> None:
    test = [reviews.read(trained.test)]
    registered, _ = register.register(
        trained.model,
        read_json(trained.metrics),
        read_json(trained.findings),
        trained.plots,
        reviews.digest(test),
        "sentiment",
    )
    verdict = gate.gate("sentiment", registered["version"], test, Limits(min_accuracy=0.5))
    assert promote.promote(verdict)["outcome"] == "promoted"


def test_requests_of_another_kind_start_a_training_and_the_gate_decides(project):
    own, other = drift_demo.arrive(project)
    found = loop(project, own, other, IN_DOMAIN, TIMES)
    assert found.false_alarms == 0
    assert found.looks > 0
    assert 0 < found.highest_psi < 0.2
    assert 32 <= found.passed <= 1_000
    assert found.fired >= found.passed
    assert found.fired_seconds >= 600 / TIMES
    assert "length" in found.drift
    assert found.outcome in {"promoted", "refused"}
    assert found.version == {"promoted": "2", "refused": "1"}[found.outcome]
    assert f"{found.outcome} after" in drift_demo.summary(found, TIMES)
