"""The gate compares behaviour by the challenger's suite, and only if that fits the challenger."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from components import evaluate, gate, promote, register
from components.errors import UserError
from components.io import registry, reviews
from components.io.files import read_json, write_json
from components.io.registry import Registered
from components.io.relocation import local_path
from components.verdict import GateLimits
from tests.conftest import REPO, Trained, assert_one_line, run_stages
from tests.languages import reviews as made

WORDS = ("wertlos", "köstlich")  # that one of the models has never read
SUITE = """
language: de
classes: [negative, positive]
cases:
  - capability: vocabulary
    texts: ["Ehrlich: {was} ist sehr wertlos, es war im Mai."]
    fill: {was: &all [der Film, das Hotel, der Stoff, das Essen, der Akku, das Zimmer]}
    expect: {right: negative}
  - capability: vocabulary
    texts: ["Ehrlich: {was} ist sehr köstlich, es war im Mai."]
    fill: {was: *all}
    expect: {right: positive}
"""
# so that accuracy refuses nothing here
ANY_ACCURACY = GateLimits(margin=1, alpha=0)
pytestmark = pytest.mark.usefixtures("own_registry")


def german(directory: Path, without: tuple[str, ...] = ()) -> Trained:
    texts, labels = made("German", 3000)
    table = pd.DataFrame({"text": texts, "label": labels, "source": "made"})
    unread = table["text"].map(lambda text: any(word in text for word in without))
    return run_stages(table[~unread], directory, given=["default"], max_n=1)


@pytest.fixture(scope="module")
def fluent(tmp_path_factory) -> Trained:
    return german(tmp_path_factory.mktemp("fluent"))


@pytest.fixture(scope="module")
def poor(tmp_path_factory) -> Trained:
    return german(tmp_path_factory.mktemp("poor"), WORDS)


@pytest.fixture
def suite(tmp_path) -> str:
    path = tmp_path / "german.yaml"
    path.write_text(SUITE)
    return str(path)


def registered(each: Trained, suite: str = "builtin") -> str:
    """Register a model as evaluate finds it with a suite, and return its version."""
    found = read_json(each.findings) | evaluate.describe(each.model, each.train, suite)
    digest = reviews.digest([reviews.read(each.test)])
    metrics = read_json(each.metrics)
    return register.register(each.model, metrics, found, each.plots, digest, "x")[0].version


def with_findings(version: str, behaviour: object) -> str:
    """Replace what the findings of a version say of its behaviour, and of its languages nothing."""
    with registry.connected() as client:
        folder = local_path(client.get_model_version_download_uri("x", version))
    found = read_json(folder / "findings.json")
    del found["languages"]
    write_json(folder / "findings.json", found | {"behaviour": behaviour})
    return version


def judged(version: str, test: Trained, limits: GateLimits = ANY_ACCURACY):
    return gate.gate(
        Registered("x", version, "", "", "a digest"), [reviews.read(test.test)], limits
    )


def crown(version: str, test: Trained) -> None:
    assert promote.promote(judged(version, test)).outcome == "promoted"


def test_a_german_model_is_not_refused_by_english_cases(trained, fluent):
    crown(registered(trained), trained)
    verdict = judged(registered(fluent), fluent)
    assert verdict.outcome == "passed"
    assert verdict.why.endswith(
        "no capability compared: the suite builtin is in English, the training reviews in"
        " German (100%)"
    )
    assert not any(name.endswith("_passed") for name in verdict.figures)
    with registry.connected() as client:
        tags = registry.find_version(client, "x", verdict.version).tags
    assert tags["languages"] == "German (100%)"


def test_findings_of_earlier_releases_mean_the_builtin_suite(trained, fluent):
    """They have no languages, and every model of the two classes was asked English cases."""
    crown(registered(trained), trained)
    verdict = judged(with_findings(registered(fluent), []), fluent)
    assert verdict.outcome == "refused"
    assert "loses" in verdict.why
    assert "typos" in verdict.why


def test_a_champion_of_an_earlier_release_is_asked_too(trained, trained_worse):
    crown(with_findings(registered(trained), []), trained)
    verdict = judged(registered(trained_worse), trained)
    assert verdict.outcome == "refused"
    assert verdict.figures["casing_passed"] < 1


def test_a_suite_of_your_own_refuses_a_model_that_lost_a_capability(fluent, poor, suite):
    crown(registered(fluent, suite), fluent)
    version = registered(poor, suite)
    verdict = judged(version, poor)
    assert verdict.outcome == "refused"
    assert re.search(r"loses vocabulary \d+% of cases against 100%", verdict.why)
    assert verdict.figures["vocabulary_passed"] < 0.7


def test_both_are_asked_by_the_suite_of_the_challenger(fluent, poor, suite):
    """The champion was registered with another suite, or with none."""
    crown(registered(fluent, "none"), fluent)
    assert "loses vocabulary" in judged(registered(poor, suite), poor).why


def test_none_compares_no_capability(fluent, poor, suite):
    crown(registered(fluent, suite), fluent)
    verdict = judged(registered(poor, "none"), poor)
    assert verdict.outcome == "passed"
    assert verdict.why.endswith("no capability compared: evaluate.behaviour is none")


def test_another_suite_makes_another_version(fluent, suite):
    assert registered(fluent) == "1"
    assert registered(fluent, suite) == "2"
    assert registered(fluent, "none") == "3"
    assert [registered(fluent), registered(fluent, suite)] == ["1", "2"]
    Path(suite).write_text(SUITE.replace("im Mai", "im Juni"))
    assert registered(fluent, suite) == "4"
    with registry.connected() as client:
        client.delete_model_version_tag("x", "1", register.SUITE_TAG)  # as earlier releases
    assert registered(fluent) == "1"


def test_damaged_findings_are_named(fluent, poor):
    crown(registered(fluent, "none"), fluent)
    damaged = {"name": "x", "suite": {"language": "de"}, "unfit": "x"}
    with pytest.raises(UserError, match=r"version 2: findings\.json: not a Behaviour: suite\."):
        judged(with_findings(registered(poor), damaged), poor)


def test_evaluate_takes_a_suite_and_names_its_mistakes(stage, fluent, suite, tmp_path):
    arguments = [
        *("--model", fluent.model, "--train", fluent.train, "--test", fluent.test),
        *("--predictions", "p.parquet", "--plots", "plots", "--metrics", "m.json"),
        *("--findings", "f.json", "--behaviour", suite),
    ]
    result = stage("evaluate", *arguments)
    assert result.returncode == 0, result.stderr
    assert "the training reviews are in German (100%)" in result.stderr
    assert re.search(r"vocabulary +12 of 12", result.stderr)
    found = read_json(tmp_path / "f.json")
    assert found["languages"] == [{"language": "de", "share": 1.0}]
    assert found["behaviour"]["digest"] == yaml_digest(suite)
    Path(suite).write_text(SUITE.replace("{right: positive}", "{right: postive}"))
    said = "case 2: expect: right: 'postive' is none of classes"
    assert_one_line(stage("evaluate", *arguments), "evaluate.behaviour: ", "german.yaml: ", said)


def yaml_digest(path: str) -> str:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "components.suite",
            "--behaviour",
            path,
            "--content",
            f"{path}.json",
        ],
        cwd=REPO,
        check=True,
    )
    digest: str = read_json(Path(f"{path}.json"))["evaluate.behaviour"]
    return digest


def test_dvc_sees_a_changed_suite(tmp_path, suite):
    """A stage that depends on data/suite.json runs again if what the file says has changed."""
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
    assert "data/suite.json" in stages["evaluate"]["deps"]
    after = {
        "cmd": "cp data/suite.json seen.json",
        "deps": ["data/suite.json"],
        "outs": ["seen.json"],
    }
    own = {"suite": stages["suite"], "after": after}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": own}))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"evaluate": {"behaviour": suite}}))
    shutil.copytree(REPO / "components", tmp_path / "components")

    def dvc(*arguments: str) -> list[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        given = os.environ | {"PYTHONPATH": str(REPO), "PATH": path}
        command = [sys.executable, "-m", "dvc", *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return re.findall(r"^Running stage '(.+)'", result.stdout, re.MULTILINE)

    dvc("init", "--no-scm")
    assert dvc("repro") == ["suite", "after"]
    Path(suite).write_text(f"# the same cases\n{SUITE}")
    assert dvc("repro") == ["suite"]
    Path(suite).write_text(SUITE.replace("im Mai", "im Juni"))
    assert dvc("repro") == ["suite", "after"]
