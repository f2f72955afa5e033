"""Alerts fire as their cases say, and another threshold, window or wait breaks a case."""

import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from monitoring.operator import set_thresholds
from monitoring.settings import ERROR_BUDGET, LATENCY_SECONDS, LIVE_DAYS, MODEL_DAYS
from sentiment import confidence
from serving.model import window
from tests.conftest import REPO

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: make packages"
)
RULES = REPO / "manifests/monitoring/config/rules.yml"
CASES = REPO / "tests/rules"
# params.yaml sets these thresholds; the cases are written for 0.2 and 0.85
GROUPS = yaml.safe_load(set_thresholds(RULES.read_text(), 0.2, 0.85))["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
RECORDS: dict[str, str] = {}  # the expressions of all records by their names
for _rule in (rule for group in GROUPS for rule in group["rules"] if "record" in rule):
    RECORDS[_rule["record"]] = f"{RECORDS.get(_rule['record'], '')} {_rule['expr']}"
NAME = re.compile(r"[a-z]+:\w+:\w+")
RECORD = re.compile(r'"series": "([a-z]+:\w+:\w+)')  # of which a case gives samples
# numbers and durations outside of names, the bucket that is a threshold, and the matchers that
# include gRPC or a size of requests
THRESHOLD = re.compile(
    r"""(?<![\w:."])(?<!vector\()\d+(?:\.\d+)?(?![\w."])  # not in a name or a matcher
    | (?<![\w:.])\d+[smhdw]\b
    | le="0\.1"
    | reviews="\w+"
    | \|\.\*/ModelInfer """,
    re.VERBOSE,
)
SLOW_BUDGET = 0.01  # share of the requests with one review that may take longer than the objective
# how a rule states its floor: its window, and the number that the events must exceed
FLOOR = re.compile(
    r"increase(?:\(.*\[)?(\w+)(?:\]\)\).*)? > ([\d.]+)$|:rate(\w+) offset 1w > ([\d.]+) "
)
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def rules_of(name: str) -> list[dict]:
    """Return the groups with only the rules that the cases of ``name`` test.

    These are all records; or an alert and the records that it needs, directly or through others,
    less those that the cases give together with what they are made of.
    """
    groups = deepcopy(GROUPS)
    given = set(RECORD.findall(" ".join(cases_of(name))))
    made = {each for each in given if given & set(NAME.findall(RECORDS[each]))}
    alerts = [rule["expr"] for rule in ALERTS if rule["alert"] == name]
    records = set(RECORDS) if name == "recorded" else needed_by(*alerts) - made
    for group in groups:
        group["rules"] = [
            rule
            for rule in group["rules"]
            if rule.get("alert") == name or rule.get("record") in records
        ]
    return [group for group in groups if group["rules"]]


def needed_by(*expressions: str) -> set[str]:
    """Return the names of the records that these expressions name, directly or through others."""
    texts, needed = [*expressions], set[str]()
    while texts:
        new = RECORDS.keys() & set(NAME.findall(texts.pop())) - needed
        needed |= new
        texts += [RECORDS[each] for each in new]
    return needed


@cache
def cases_of(name: str) -> list[str]:
    """Return the cases for ``name``, each as a file in JSON, those of the shortest time first."""
    found = []
    for path in CASES.glob(f"{name}*.yml"):
        file = yaml.safe_load(path.read_text()) | {"rule_files": ["rules.yml"]}
        found += [json.dumps(file | {"tests": [case]}) for case in file["tests"]]
    return sorted(found, key=duration)


def duration(case: str) -> int:
    """Return the seconds after which promtool evaluates the last expression of a case."""
    times = re.findall(r'"eval_time": "(\w+)"', case)
    parts = [re.findall(r"(\d+)([smhdw])", each) for each in times]
    return max(sum(int(number) * SECONDS[unit] for number, unit in each) for each in parts)


def passes(name: str, groups: list[dict]) -> bool:
    """Return whether these rules pass the cases of ``name``.

    Records that a case does not need are left out: most changes concern few of the cases.
    """
    alerts = [rule["expr"] for group in groups for rule in group["rules"] if "alert" in rule]
    for case in cases_of(name):
        needed = needed_by(case, *alerts)
        kept = [
            group
            | {"rules": [rule for rule in group["rules"] if rule.get("record") in {None, *needed}]}
            for group in groups
        ]
        if not passes_one(json.dumps({"groups": kept}), case):
            return False
    return True


@cache  # as a change of a rule that a case does not need is none
def passes_one(rules: str, case: str) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "rules.yml").write_text(rules)
        (Path(directory) / "case.yml").write_text(case)
        command = ["promtool", "test", "rules", "case.yml"]
        return not subprocess.run(command, cwd=directory, capture_output=True).returncode


def mutations_of(text: str) -> list[str]:
    """Return what to replace a threshold, window, wait or matcher with: less and more."""
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
    """Yield the cases that must break, a description of the change, and the changed rules."""
    for name in [*NAMES, "recorded"]:
        groups = rules_of(name)
        places = [
            (g, r, key, match)
            for g, group in enumerate(groups)
            for r, rule in enumerate(group["rules"])
            if ("record" in rule) == (name == "recorded")
            for key in ("expr", "for")
            for match in THRESHOLD.finditer(rule.get(key, ""))
        ]
        for g, r, key, match in places:
            for other in mutations_of(match[0]):
                changed = deepcopy(groups)
                text = match.string[: match.start()] + other + match.string[match.end() :]
                changed[g]["rules"][r][key] = text
                yield name, f"{name} {r}, {key}: {other} for {match[0]} in {text}", changed


def test_every_rule_has_cases():
    result = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {path.stem.partition("-")[0] for path in CASES.glob("*.yml")} == {*NAMES, "recorded"}


@pytest.mark.parametrize("name", NAMES)
def test_cases_fire_and_resolve_every_alert(name: str):
    """The watchdog alone always fires."""
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
def test_rules_pass_their_cases(name: str):
    assert passes(name, rules_of(name))


def test_changed_rules_break_a_case():
    changes = list(mutations())
    assert len(changes) > 300

    def survives(number: int) -> bool:
        name, _, groups = changes[number]
        return passes(name, groups)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(survives, range(len(changes))))
    survivors = [change for (_, change, _), passed in zip(changes, outcomes, strict=True) if passed]
    assert not survivors, "\n".join(survivors)


def test_rules_and_docs_have_the_objectives():
    expressions = " ".join(rule["expr"] for group in GROUPS for rule in group["rules"])
    budgets = set(re.findall(r"> [\d.]+ \* (0[\d.]+)", expressions))
    assert budgets == {f"{ERROR_BUDGET:g}", f"{SLOW_BUDGET:g}"}
    assert f'ratio_rate10m{{reviews="1"}} > {SLOW_BUDGET:g} and' in expressions
    assert set(re.findall(r'le="([\d.]+)"', expressions)) == {f"{LATENCY_SECONDS:g}"}
    assert f'{{component="predictor"}}) > {MODEL_DAYS} * 86400' in expressions
    docs = (REPO / "docs/watch.md").read_text()
    assert f"| {1 - ERROR_BUDGET:.1%} of the requests of 30 days get no server error |" in docs
    assert f"| {1 - SLOW_BUDGET:.0%} of the requests with a single review are" in docs
    assert f"answered in {1000 * LATENCY_SECONDS:.0f} ms |" in docs
    assert f"| the model was registered less than {MODEL_DAYS} days ago |" in docs


def floor_of(rule: dict) -> tuple[str, str, str, str]:
    """Return name, severity, window and floor of an alert, as docs/watch.md writes them.

    A rule without a floor must wait: it is judged by time.
    """
    floor = FLOOR.search(rule["expr"])
    if floor is None:
        window, events = rule["for"], "time"
    elif floor[3]:  # requests a second that were expected
        window = floor[3]
        events = f"{int(window[:-1]) * SECONDS[window[-1]] * float(floor[4]):.0f}"
    else:
        window, events = floor[1], str(math.floor(float(floor[2])) + 1)
    return rule["alert"], rule["labels"]["severity"], window, events


def test_docs_state_the_floor_of_each_rule():
    floors = sorted(floor_of(rule) for rule in ALERTS if rule["alert"] != "SentimentWatchdog")
    row = re.compile(r"^\| `(Sentiment\w+)` \| (\w+) \| (\w+) \| (\w+)[^|]* \| [^|]+ \|$", re.M)
    assert sorted(row.findall((REPO / "docs/watch.md").read_text())) == floors


def test_retraining_has_a_floor_of_events():
    retraining = {rule["alert"]: rule for rule in ALERTS if "retrain" in rule["labels"]}
    assert set(retraining) == {"SentimentDrift", "SentimentLiveAccuracyLow"}
    assert floor_of(retraining["SentimentDrift"])[3] == str(window.MIN_TEXTS)
    # the interval is the floor of the other: its upper end, of texts that are not old
    live = retraining["SentimentLiveAccuracyLow"]["expr"]
    assert live.startswith("version:pipeline_live_accuracy_high:max < ")
    assert live.endswith(f'{{job="sentiment-exporter"}} < {LIVE_DAYS} * 86400')


def test_belief_has_the_limits_of_the_model():
    (rule,) = [
        rule
        for group in GROUPS
        for rule in group["rules"]
        if rule.get("record") == "predictor:model_expected_accuracy:believed"
    ]
    limits = dict(re.findall(r'statistic=~?"([\w|]+)"} > ([\d.]+)', rule["expr"]))
    found = {name: float(at) for names, at in limits.items() for name in names.split("|")}
    assert found == confidence.MAX_PSI


def test_texts_quote_the_drift_window():
    dashboard, rules, runbook = (
        " ".join((REPO / path).read_text().split())
        for path in (
            "manifests/monitoring/dashboards/model.json",
            "manifests/monitoring/config/rules.yml",
            "docs/runbooks/SentimentDrift.md",
        )
    )
    assert f"of the last {window.SIZE:,} texts" in dashboard
    assert f"until a replica has seen {window.MIN_TEXTS} texts" in dashboard
    assert f"of the last {window.SIZE:,} reviews" in rules
    assert f"of the last {window.SIZE:,} reviews" in runbook
