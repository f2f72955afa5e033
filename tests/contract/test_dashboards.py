"""The dashboards' files: as built, whole, and readable."""

import copy
import json
import re

import pytest
import yaml

from monitoring.dashboards import __main__ as command
from tests.conftest import REPO

FILES = sorted((REPO / command.OUTPUT).glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
RUNBOOKS = REPO / "docs" / "runbooks"


def panels(board: dict) -> list[dict]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def faults(board: dict) -> list[str]:
    """Return what Grafana, or its reader, would miss or stumble over."""
    found = []
    if not re.fullmatch(r"sentiment-[a-z]+", board.get("uid", "")) or "id" in board:
        found.append("found by another identifier than its uid")
    if board.get("schemaVersion", 0) < 39:
        found.append("of a schema before Grafana 11's")
    numbers = [panel["id"] for panel in board["panels"]]
    if len(set(numbers)) < len(numbers) or 0 in numbers:
        found.append("panels that cannot be told apart")
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        mine = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        if cells & mine or place["x"] + place["w"] > 24:
            found.append(f"{panel['title']}: on another panel, or off the grid")
        cells |= mine
    if len(cells) % 24:
        found.append("a gap on the grid")
    known = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels(board):
        name = panel.get("title") or "a panel without a title"
        if not panel.get("title"):
            found.append(name)
        if len(panel.get("description", "")) < 20:
            found.append(f"{name}: no description")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            found.append(f"{name}: no unit")
        if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            found.append(f"{name}: not of the data source that is chosen")
        references = [target["refId"] for target in panel["targets"]]
        if not all(references) or len(set(references)) < len(references):
            found.append(f"{name}: queries that cannot be told apart")
        for target in panel["targets"]:
            used = set(re.findall(r"\$([a-z]\w*)", target["expr"]))
            if not used or not used <= known:
                found.append(f"{name}: variables {sorted(used - known) or 'unused'}")
    return found


def test_the_files_are_what_the_code_builds(tmp_path):
    assert command.main(["--output", str(tmp_path)]) == 0
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in FILES}, "run make dashboards"
    assert set(BOARDS) == {"service", "model", "pipeline"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_whole(name: str):
    assert faults(BOARDS[name]) == []
    assert BOARDS[name]["uid"] == f"sentiment-{name}"  # where the alerts point to


def test_the_cluster_gets_every_dashboard():
    text = (REPO / command.OUTPUT / "kustomization.yaml").read_text()
    (generated,) = yaml.safe_load(text)["configMapGenerator"]
    assert generated["files"] == [
        f"sentiment-{name}.json={name}.json" for name in ("service", "model", "pipeline")
    ]
    assert generated["options"]["labels"]["grafana_dashboard"] == "1"


def without(key: str):
    return lambda board: panels(board)[0].pop(key)


def same_number(board: dict) -> None:
    panels(board)[1]["id"] = panels(board)[0]["id"]


DAMAGES = {
    "no uid": (lambda board: board.pop("uid"), "identifier"),
    "an id": (lambda board: board.update(id=7), "identifier"),
    "an old schema": (lambda board: board.update(schemaVersion=30), "schema"),
    "no title": (without("title"), "without a title"),
    "no description": (without("description"), "no description"),
    "no unit": (lambda b: panels(b)[0]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
    "a fixed source": (lambda b: panels(b)[0]["datasource"].update(uid="x"), "data source"),
    "one number for two": (same_number, "told apart"),
    "one letter for two": (lambda b: panels(b)[0]["targets"].append(b_target(b)), "told apart"),
    "one on another": (lambda b: panels(b)[1]["gridPos"].update(x=0), "on another panel"),
    "too wide": (lambda b: panels(b)[0]["gridPos"].update(x=20), "on another panel"),
    "a gap": (lambda b: panels(b)[0]["gridPos"].update(h=3), "gap"),
    "no variable": (lambda b: b["templating"]["list"].clear(), "variables"),
    "a fixed query": (lambda b: panels(b)[0]["targets"][0].update(expr="up"), "unused"),
}


def b_target(board: dict) -> dict:
    return copy.deepcopy(panels(board)[0]["targets"][0])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", BOARDS)
def test_a_damaged_dashboard_is_seen(name: str, damage: str):
    board = copy.deepcopy(BOARDS[name])
    breaks, word = DAMAGES[damage]
    breaks(board)
    assert any(word in fault for fault in faults(board))


@pytest.mark.parametrize("name", BOARDS)
def test_the_same_thing_has_one_colour(name: str):
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
    assert all(len(found) == 1 for found in colours.values())


@pytest.mark.parametrize("name", BOARDS)
def test_every_panels_runbook_is_there(name: str):
    links = [link["url"] for panel in panels(BOARDS[name]) for link in panel.get("links", [])]
    assert links
    for link in links:
        assert (RUNBOOKS / link.removeprefix("${docs}/runbooks/")).is_file(), link
