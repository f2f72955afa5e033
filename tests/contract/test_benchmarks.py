"""What is measured against each other has the same model, and stays possible to run."""

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
def test_a_peer_loads_the_model_with_the_versions_that_we_serve_it_with(peer: str):
    ours, theirs = locked(REPO / "requirements" / "serve.txt"), locked(LOCKS / f"{peer}.txt")
    for name in ("joblib", "numpy", "scikit-learn", "scipy", "skops"):
        assert theirs[name] == ours[name], "run make lock"
    lock = (LOCKS / f"{peer}.txt").read_text()
    assert lock.count("==") <= lock.count("--hash="), "a package without a hash"
    assert "://" not in lock


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_the_code_of_a_contender_is_there(contender):
    words = [contender.command, *contender.environment.values()]
    modules = re.findall(r"benchmarks\.serving\.servers\.(\w+)", " ".join(words))
    assert modules or contender.name in {"ours", "ours-capture", "mlflow"}
    for module in modules:
        assert (REPO / "benchmarks" / "serving" / "servers" / f"{module}.py").exists()
