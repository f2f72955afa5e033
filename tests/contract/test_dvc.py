"""DVC runs a stage again after a change of any code that its result depends on."""

import grimp
import pytest
import yaml

from tests.conftest import REPO

STAGES = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
# what a result does not depend on: the command line, how files are written and errors told
PLUMBING = {
    "components.cli",
    "components.errors",
    "components.stage",
    *(f"components.io.{name}" for name in ("addresses", "creation", "failures", "files")),
    *(f"components.io.{name}" for name in ("killed", "owner", "records", "relocation")),
    "components.io.models",
    "components.io.registry",
}
READ_TEXTS = {f"sentiment.{name}" for name in ("characters", "tokens", "tokens_v1")}  # count alone
EXEMPT = {
    "count": {
        "sentiment.merging",  # for a type
        "sentiment.tokens_v1",  # models of earlier releases use it
    },
    "merge": READ_TEXTS,
    "trial": {
        # it has a digest of the code that its figures come from: components.trial.CODE
        *("components.io.matrices", "components.io.parts"),
        *("sentiment.merging", "sentiment.ngrams"),
        *READ_TEXTS,
    },
    # components.reading fetches the suite of behaviour; a changed suite changes data/suite.json
    "evaluate": {"components.reading"},
    "gate": {"components.reading"},
    "register": {"components.reading"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("components", "sentiment")


def within(module: str, packages: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in packages)


@pytest.mark.parametrize("stage", [name for name in STAGES if "always_changed" not in STAGES[name]])
def test_a_stage_depends_on_the_code_that_it_imports(graph, stage: str):
    listed = STAGES[stage].get("do", STAGES[stage])["deps"]
    used = {f"components.{stage}"} | graph.find_upstream_modules(f"components.{stage}")
    exempt = PLUMBING | EXEMPT.get(stage, set())
    files = {each.replace(".", "/") + ".py" for each in used if not within(each, exempt)}
    uncovered = {
        path
        for path in files
        if (REPO / path).exists()
        and not any(path == each or path.startswith(f"{each}/") for each in listed)
    }
    assert not uncovered


def test_each_exemption_is_used(graph):
    known = {each for name in STAGES for each in graph.find_upstream_modules(f"components.{name}")}
    assert known >= PLUMBING
    for stage, exempt in EXEMPT.items():
        used = graph.find_upstream_modules(f"components.{stage}")
        assert all(any(within(module, {each}) for module in used) for each in exempt)
