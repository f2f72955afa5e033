"""The dashboards' files: current, complete, and readable by Grafana."""

import copy
import itertools
import json
import re

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.rollout import RolloutOutcome
from monitoring.dashboards import __main__ as command
from monitoring.dashboards.panels import COLOURS
from tests.conftest import REPO

FILES = sorted((REPO / command.OUTPUT).glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
RUNBOOKS = REPO / "docs" / "runbooks"


def panels(board: dict) -> list[dict]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


BY_SERVICE = {"namespace", "service"}


def overview(board: dict) -> list[dict]:
    """Return the panels of the first row, which shows all services."""
    assert board["panels"][0]["title"] == "All services"
    return list(itertools.takewhile(lambda panel: panel["type"] != "row", board["panels"][1:]))


def labels_shown(panel: dict) -> set[str]:
    """Return the labels in the legend of a panel, or in its table."""
    if panel["type"] == "table":
        (organize,) = panel["transformations"]
        return set(organize["options"]["indexByName"])
    return set(re.findall(r"{{(\w+)}}", panel["targets"][0]["legendFormat"]))


def faults(board: dict) -> list[str]:
    """Return what is missing in a dashboard, or would confuse Grafana or its reader."""
    problems = []
    if not re.fullmatch(r"sentiment-[a-z]+", board.get("uid", "")) or "id" in board:
        problems.append("identified by something else than its uid")
    if board.get("schemaVersion", 0) < 39:
        problems.append("a schema older than Grafana 11's")
    numbers = [panel["id"] for panel in board["panels"]]
    if len(set(numbers)) < len(numbers) or 0 in numbers:
        problems.append("panels with the same id")
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        position = panel["gridPos"]
        area = {
            (position["x"] + column, position["y"] + row)
            for column in range(position["w"])
            for row in range(position["h"])
        }
        if cells & area or position["x"] + position["w"] > 24:
            problems.append(f"{panel['title']}: overlaps another panel, or leaves the grid")
        cells |= area
    if len(cells) % 24:
        problems.append("a gap in the grid")
    known = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels(board):
        name = panel.get("title") or "a panel without a title"
        if not panel.get("title"):
            problems.append(name)
        if len(panel.get("description", "")) < 20:
            problems.append(f"{name}: no description")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            problems.append(f"{name}: no unit")
        if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            problems.append(f"{name}: not the selected data source")
        references = [target["refId"] for target in panel["targets"]]
        if not all(references) or len(set(references)) < len(references):
            problems.append(f"{name}: queries with the same refId")
        for target in panel["targets"]:
            used = set(re.findall(r"\$([a-z]\w*)", target["expr"]))
            if not {"namespace", "service"} <= used <= known and panel not in overview(board):
                problems.append(f"{name}: variables {sorted(used - known) or 'unused'}")
    for panel in overview(board):
        if not labels_shown(panel) >= BY_SERVICE:
            problems.append(f"{panel.get('title')}: hides which service it shows")
    return problems


def test_files_are_current(tmp_path):
    assert command.main(["--output", str(tmp_path)]) == 0
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in FILES}, "run make dashboards"
    assert set(BOARDS) == {"service", "model", "pipeline"}


def test_lines_are_the_thresholds():
    board = JSONEncoder().encode(command.dashboards(command.DOCS, 0.25, 0.7)["model"])
    shown = {panel["title"]: panel for panel in panels(json.loads(board))}
    limits = {
        title: [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        for title, panel in shown.items()
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert limits["Drift"] == [None, 0.1, 0.25]
    assert "above 0.25, the red line" in shown["Drift"]["description"]
    assert limits["Accuracy by labels"] == limits["Accuracy to expect"] == [None, 0.7]


def test_in_flight_line_is_the_default_limit():
    (panel,) = [p for p in panels(BOARDS["service"]) if p["title"] == "Requests in flight"]
    limit = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
    assert f"| `--max_in_flight` | {limit} |" in (REPO / "docs/serving.md").read_text()
    assert f"(--max_in_flight, {limit})" in panel["description"]


@pytest.mark.parametrize("name", BOARDS)
def test_dashboard_is_complete(name: str):
    assert faults(BOARDS[name]) == []
    assert BOARDS[name]["uid"] == f"sentiment-{name}"  # which the alerts link to


def test_config_map_has_every_dashboard():
    text = (REPO / command.OUTPUT / "kustomization.yaml").read_text()
    (config_map,) = yaml.safe_load(text)["configMapGenerator"]
    assert config_map["files"] == [
        f"sentiment-{name}.json={name}.json" for name in ("service", "model", "pipeline")
    ]
    assert config_map["options"]["labels"]["grafana_dashboard"] == "1"


def drop(key: str):
    return lambda board: panels(board)[0].pop(key)


def repeat_id(board: dict) -> None:
    panels(board)[1]["id"] = panels(board)[0]["id"]


def hide_service(board: dict) -> None:
    panel = overview(board)[0]
    if panel["type"] == "table":
        panel["transformations"][0]["options"]["indexByName"].pop("service")
    else:
        panel["targets"][0]["legendFormat"] = "{{namespace}}"


def repeat_query(board: dict) -> None:
    targets = panels(board)[0]["targets"]
    targets.append(copy.deepcopy(targets[0]))


DAMAGES = {
    "no uid": (lambda board: board.pop("uid"), "than its uid"),
    "an id": (lambda board: board.update(id=7), "than its uid"),
    "an old schema": (lambda board: board.update(schemaVersion=30), "schema"),
    "no title": (drop("title"), "without a title"),
    "no description": (drop("description"), "no description"),
    "no unit": (lambda b: panels(b)[0]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
    "a fixed source": (lambda b: panels(b)[0]["datasource"].update(uid="x"), "data source"),
    "a repeated id": (repeat_id, "same id"),
    "a repeated refId": (repeat_query, "same refId"),
    "an overlap": (lambda b: panels(b)[-1]["gridPos"].update(x=0), "overlaps"),
    "too wide": (lambda b: panels(b)[0]["gridPos"].update(x=20), "overlaps"),
    "a gap": (lambda b: panels(b)[-1]["gridPos"].update(h=3), "gap"),
    "no variable": (lambda b: b["templating"]["list"].clear(), "variables"),
    "a fixed query": (lambda b: panels(b)[-1]["targets"][0].update(expr="up"), "unused"),
    "a sum over services": (hide_service, "hides which service"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", BOARDS)
def test_damage_to_a_dashboard_is_found(name: str, damage: str):
    board = copy.deepcopy(BOARDS[name])
    breaks, word = DAMAGES[damage]
    breaks(board)
    assert word in "\n".join(faults(board))


@pytest.mark.parametrize("name", BOARDS)
def test_equal_series_have_one_colour(name: str):
    colours: dict[str, set[str]] = {}
    for panel in panels(BOARDS[name]):
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "timeseries":
            assert defaults["color"] == {"mode": "palette-classic-by-name"}, panel["title"]
        for override in panel["fieldConfig"].get("overrides", []):
            (fixed,) = override["properties"]
            colours.setdefault(override["matcher"]["options"], set()).add(
                fixed["value"]["fixedColor"]
            )
    assert {series: len(found) for series, found in colours.items()} == dict.fromkeys(colours, 1)


def test_every_end_of_a_deployment_has_a_colour():
    colours = " ".join(COLOURS["{{outcome}}"]).replace("|", " ").split()
    ends = {outcome.value for outcome in RolloutOutcome} | {"superseded"}
    assert ends <= set(colours)
    (panel,) = [panel for panel in panels(BOARDS["pipeline"]) if panel["title"] == "Deployments"]
    matchers = [each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]]
    for end in ends:
        name = f"overlays/production, {end}"
        assert any(re.search(matcher.strip("/"), name) for matcher in matchers), end


@pytest.mark.parametrize("name", BOARDS)
def test_linked_runbooks_exist(name: str):
    links = [link["url"] for panel in panels(BOARDS[name]) for link in panel.get("links", [])]
    assert links
    for link in links:
        assert (RUNBOOKS / link.removeprefix("${docs}/runbooks/")).is_file(), link
