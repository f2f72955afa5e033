"""The drift demo, all real, on 3,000 reviews and one candidate."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from components import gate, promote, register
from components.io import reviews
from components.io.files import read_json
from components.verdict import GateLimits
from tests.system.conftest import clone
from tools import drift_demo

IN_DOMAIN = 6_000
TIMES = 20.0  # ten minutes take thirty seconds, the longest wait until a request is captured


@pytest.fixture
def project(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a champion of 3,000 reviews, whose training tries one candidate."""
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
    params["trial"]["candidates"] = ["default"]
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
    verdict = gate.gate(registered, test, GateLimits(min_accuracy=0.5))
    assert promote.promote(verdict).outcome == "promoted"


def test_drift_leads_to_a_gate_decision(project):
    figures = drift_demo.watch_drift(
        project, *drift_demo.prepare_reviews(project), IN_DOMAIN, TIMES
    )
    own, shift, retraining = figures.in_domain, figures.shift, figures.retraining
    assert own.alarms == 0
    assert own.evaluations > 0
    assert 0 < own.highest_psi < figures.max_psi
    assert 32 <= shift.above_limit <= 1_000
    assert shift.fired >= shift.above_limit
    assert shift.seconds >= 600 / TIMES
    assert "length" in retraining.drift
    assert retraining.outcome in {"promoted", "refused"}
    assert retraining.version == {"promoted": "2", "refused": "1"}[retraining.outcome]
    assert f"{retraining.outcome} after" in drift_demo.summary(figures, TIMES)
