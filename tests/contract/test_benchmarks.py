"""The servers of the benchmark load the same model, and their modules exist."""

import re
from pathlib import Path

import pytest

from benchmarks.serving.contenders import CONTENDERS
from tests.conftest import REPO

LOCKS = REPO / "benchmarks" / "serving" / "requirements"
PEERS = sorted({contender.requirements for contender in CONTENDERS} - {None})


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("peer", PEERS)
def test_peers_lock_our_versions_of_the_model(peer: str):
    ours, theirs = locked(REPO / "requirements" / "serve.txt"), locked(LOCKS / f"{peer}.txt")
    for name in ("joblib", "numpy", "scikit-learn", "scipy", "skops"):
        assert theirs[name] == ours[name], "run make lock"
    lock = (LOCKS / f"{peer}.txt").read_text()
    assert lock.count("==") <= lock.count("--hash="), "a package without a hash"
    assert "://" not in lock


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_modules_of_contenders_exist(contender):
    texts = [contender.command, *contender.environment.values()]
    modules = re.findall(r"benchmarks\.serving\.servers\.(\w+)", " ".join(texts))
    assert modules or contender.name in {"ours", "ours-capture", "mlflow"}
    for module in modules:
        assert (REPO / "benchmarks" / "serving" / "servers" / f"{module}.py").exists()
