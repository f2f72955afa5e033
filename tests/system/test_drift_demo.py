"""The drift demo, all real, on 3,000 reviews and one candidate."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from components import gate, promote, register
from components.io import accounts, reviews
from components.io.files import read_json
from components.reading.content import identify
from components.reading.options import Options
from components.verdict import GateLimits
from tests.system.conftest import clone
from tools import drift_demo
from tools.drift import loop
from tools.drift.texts import respell

IN_DOMAIN = 6_000
TIMES = 20.0  # ten minutes take thirty seconds, the longest wait until a request is captured
FLOOR = 0.75
LABELS = 800


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
    names = dict(enumerate(reviews.CLASSES))
    table = reviews.read(trained.reviews)
    table.assign(label=table["label"].map(names)).to_parquet(project / "own.parquet")
    shutil.copytree(trained.test, project / "data/test")
    (project / "reports").mkdir()
    shutil.copy(trained.metrics, project / "reports")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["ingest"]["source"] = "own.parquet"
    params["trial"]["candidates"] = ["default"]
    params["gate"]["min_accuracy"] = params["join"]["min_accuracy"] = FLOOR
    params["gate"]["margin"] = 0.05  # few test reviews
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with chdir(project):
        _promote(trained)
    return project


def _promote(trained) -> None:
    test = [reviews.read(trained.test)]
    sources = accounts.digest(identify(Options("own.parquet")))
    registered, _ = register.register(
        trained.model,
        read_json(trained.metrics),
        read_json(trained.findings),
        trained.plots,
        reviews.digest(test),
        "sentiment",
        accounts.RowAccount([], {}, sources),
    )
    verdict = gate.gate(registered, test, GateLimits(min_accuracy=0.5))
    assert promote.promote(verdict).outcome == "promoted"


def test_accuracy_falls_and_labels_bring_it_back(project, trained, imdb):
    known = reviews.read(trained.reviews)["text"]
    others = imdb[~imdb["text"].isin(known)].sample(3_000, random_state=0)
    texts = respell(reviews.read(trained.test), others, reviews.CLASSES)
    figures = loop.run_loop(project, texts, IN_DOMAIN, TIMES, LABELS, most_rounds=1)
    own, shift = figures.in_domain, figures.shift
    assert own.alarms == 0
    assert own.evaluations > 0
    assert 0 < own.highest_psi < figures.max_psi
    assert 32 <= shift.above_limit <= 1_000
    assert shift.fired >= shift.above_limit
    assert shift.seconds >= 600 / TIMES
    assert shift.decision.startswith("nothing new to learn from: version 1 ")
    assert "unknown" in shift.decision
    assert shift.live.accuracy.high < own.accuracy
    (learned,) = figures.rounds
    assert learned.labels == loop.ESTIMATE + LABELS
    assert learned.outcome == "promoted", learned.reason
    assert learned.version == learned.live.version == "2"
    assert learned.live.accuracy.value > shift.live.accuracy.value
    assert f"{learned.labels} labels so far; promoted" in drift_demo.summary(figures, TIMES)
