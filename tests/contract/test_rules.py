"""Alerts fire when they must, and any other threshold, window or wait breaks a case of theirs."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: make packages"
)
RULES = REPO / "manifests/monitoring/config/rules.yml"
CASES = REPO / "tests/rules"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
NAMES = sorted({rule["alert"] for group in GROUPS for rule in group["rules"] if "alert" in rule})
# a number or a duration that is no part of a name, the one bucket that is a threshold, and what
# takes in a protocol or a size of requests
THRESHOLD = re.compile(
    r"""(?<![\w:."])(?<!vector\()\d+(?:\.\d+)?(?![\w."])  # not in a name or a matcher
    | (?<![\w:.])\d+[smhdw]\b
    | le="0\.1"
    | reviews="\w+"
    | \|\.\*/ModelInfer """,
    re.VERBOSE,
)
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def needed(name: str) -> list[dict]:
    """Return the groups with no more than the rules that the cases of ``name`` are about."""
    groups = deepcopy(GROUPS)
    wanted = " ".join(
        rule["expr"] for group in groups for rule in group["rules"] if rule.get("alert") == name
    )
    for group in groups:
        group["rules"] = [
            rule
            for rule in group["rules"]
            if rule.get("alert") == name
            or ("record" in rule and (name == "recorded" or rule["record"] in wanted))
        ]
    return [group for group in groups if group["rules"]]


def passes(name: str, groups: list[dict], directory: Path) -> bool:
    """Tell whether the cases of ``name`` come out as written with these rules."""
    rules = directory / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": groups}))
    for file in CASES.glob(f"{name}*.yml"):
        cases = yaml.safe_load(file.read_text()) | {"rule_files": ["rules.yml"]}
        (directory / file.name).write_text(yaml.safe_dump(cases))
        command = ["promtool", "test", "rules", file.name]
        if subprocess.run(command, cwd=directory, capture_output=True).returncode:
            return False
    return True


def others(text: str) -> list[str]:
    """Return what might stand instead: less of it, and more."""
    if text.startswith("reviews="):
        return ['reviews="1"' if "more" in text else 'reviews="more"', 'reviews=~".+"']
    if text.startswith("|"):
        return [""]
    if text.startswith("le="):
        return ['le="0.25"']
    if text[-1] in SECONDS:
        seconds = int(text[:-1]) * SECONDS[text[-1]]
        return [f"{seconds // 2}s", f"{seconds * 2}s"]
    value = float(text)
    if value.is_integer() and value < 10:
        return [f"{value - 1:g}", f"{value + 1:g}"]
    return [f"{value * 0.8:.10g}", f"{value * 1.25:.10g}"]


def mutations() -> Iterator[tuple[str, str, list[dict]]]:
    """Yield whose cases must break, what is changed, and the changed rules."""
    for name in [*NAMES, "recorded"]:
        groups = needed(name)
        places = [
            (g, r, key, match)
            for g, group in enumerate(groups)
            for r, rule in enumerate(group["rules"])
            if ("record" in rule) == (name == "recorded")
            for key in ("expr", "for")
            for match in THRESHOLD.finditer(rule.get(key, ""))
        ]
        for g, r, key, match in places:
            for other in others(match[0]):
                changed = deepcopy(groups)
                text = match.string[: match.start()] + other + match.string[match.end() :]
                changed[g]["rules"][r][key] = text
                yield name, f"{name} {r}, {key}: {other} for {match[0]} in {text}", changed


def test_the_rules_are_ones_and_have_cases():
    result = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {path.stem.partition("-")[0] for path in CASES.glob("*.yml")} == {*NAMES, "recorded"}


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_fires_is_silent_and_resolves(name: str):
    """By its cases; a watchdog alone is never silent."""
    tests = [
        test
        for file in CASES.glob(f"{name}*.yml")
        for case in yaml.safe_load(file.read_text())["tests"]
        for test in case["alert_rule_test"]
    ]
    fired = [bool(test["exp_alerts"]) for test in tests if test["alertname"] == name]
    assert any(fired)
    if name != "SentimentWatchdog":
        assert fired[0] is False
        assert (True, False) in pairwise(fired)


@pytest.mark.parametrize("name", [*NAMES, "recorded"])
def test_the_cases_come_out_as_written(name: str, tmp_path: Path):
    assert passes(name, needed(name), tmp_path)


def test_any_other_threshold_window_or_wait_breaks_a_case(tmp_path: Path):
    tried = list(mutations())
    assert len(tried) > 150

    def survives(number: int) -> bool:
        name, _, groups = tried[number]
        directory = tmp_path / str(number)
        directory.mkdir()
        return passes(name, groups, directory)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(survives, range(len(tried))))
    survivors = [what for (_, what, _), alive in zip(tried, outcomes, strict=True) if alive]
    assert not survivors, "\n".join(survivors)
