"""Draw the dashboards' queries, as a Prometheus answers them now: for docs, where no Grafana is."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components import errors
from components.arguments import count
from components.files import replacing
from pipelines.dashboards.__main__ import OUTPUT
from pipelines.dashboards.source import Source

WIDTH, ROW = 13.0, 0.27  # inches, of 24 columns and of a row of the grid
UNITS = {"percentunit": (100, "%"), "s": (1000, "ms"), "bytes": (1e-6, "MB"), "reqps": (1, "/s")}
TONES = {"super-light-blue": "#8ab8ff", "blue": "#3274d9", "dark-blue": "#1250b0"}


def draw(board: dict[str, Any], source: Source) -> Figure:
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    figure = Figure(figsize=(WIDTH, height * ROW), facecolor="white")
    for panel in board["panels"]:
        place = panel["gridPos"]
        if panel["type"] == "row":
            middle = 1 - (place["y"] + 0.5) / height
            figure.text(0.01, middle, panel["title"], fontsize=10, weight="bold", va="center")
            continue
        left, width = place["x"] / 24 + 0.035, place["w"] / 24 - 0.05
        bottom = 1 - (place["y"] + place["h"] - 1.6) / height
        axes = figure.add_axes((left, bottom, width, (place["h"] - 3) / height))
        axes.set_title(panel["title"], fontsize=8, loc="left")
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
        {"timeseries": _lines, "heatmap": _heat, "stat": _number, "table": _table}[panel["type"]](
            axes, panel, source
        )
    return figure


def _unit(panel: dict[str, Any]) -> tuple[float, str]:
    return UNITS.get(panel["fieldConfig"]["defaults"]["unit"], (1, ""))


def _nothing(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no data here", fontsize=8, color="grey", ha="center", va="center")


def _lines(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    factor, unit = _unit(panel)
    colours = {
        each["matcher"]["options"].strip("/"): each["properties"][0]["value"]["fixedColor"]
        for each in panel["fieldConfig"]["overrides"]
    }
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for query in panel["targets"]:
        for labels, at, values in source.over_time(query["expr"]):
            drawn[_named(query["legendFormat"], labels)] = at, values * factor
    if not drawn:
        _nothing(axes)
        return
    for name, (at, values) in drawn.items():
        found = [tone for pattern, tone in colours.items() if re.search(pattern, name)]
        colour = TONES.get(found[0], found[0]) if found else None
        axes.plot(at, values, label=name, linewidth=1.2, color=colour)
    if panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)
    top = axes.get_ylim()[1]
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]:
        if step["value"] is not None and step["value"] * factor < 3 * top:
            axes.axhline(step["value"] * factor, color=step["color"], linewidth=0.8, ls="--")
    axes.set_ylabel(unit, fontsize=6)
    axes.legend(fontsize=5.5, frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.12))


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: labels[name[1]], legend)


def _heat(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    (query,) = panel["targets"]
    found = {float(each[0]["le"]): each for each in source.over_time(query["expr"])}
    if not found:
        _nothing(axes)
        return
    edges = sorted(found)
    length = min(len(found[edge][2]) for edge in edges)
    cumulative = np.array([found[edge][2][-length:] for edge in edges])
    cells = np.diff(cumulative, axis=0, prepend=0)
    axes.pcolormesh(found[edges[0]][1][-length:], range(len(edges)), cells, cmap="Blues")
    axes.set_yticks(range(len(edges)), [f"{edge:g}" for edge in edges])


def _number(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    (query,) = panel["targets"]
    found = source.now(query["expr"])
    if not found:
        _nothing(axes)
        return
    factor, unit = _unit(panel)
    axes.set_axis_off()
    text = f"{float(found[0]['value'][1]) * factor:.4g} {unit}"
    axes.text(0.5, 0.5, text, fontsize=14, ha="center", va="center")


def _table(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    (query,) = panel["targets"]
    names = sorted(
        panel["transformations"][0]["options"]["indexByName"].items(), key=lambda n: n[1]
    )
    rows = [
        [each["metric"].get(name, f"{float(each['value'][1]):.4g}")[:20] for name, _ in names]
        for each in source.now(query["expr"])
    ]
    if not rows:
        _nothing(axes)
        return
    axes.set_axis_off()
    heads = [panel["transformations"][0]["options"]["renameByName"].get(n, n) for n, _ in names]
    table = axes.table(rows[:12], colLabels=heads, loc="upper center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(6.5)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.dashboards.picture", description=__doc__
    )
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="%(default)s")
    parser.add_argument("--minutes", type=count, default=15, help="default: the last %(default)s")
    parser.add_argument("--dashboards", type=Path, default=OUTPUT, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"), help="%(default)s")
    args = parser.parse_args(argv)

    def work() -> None:
        source = Source(args.prometheus, args.minutes)
        for path in sorted(args.dashboards.glob("*.json")):
            figure = draw(json.loads(path.read_text()), source)
            picture = args.output / f"{path.stem}.png"
            with replacing(picture) as partial:
                figure.savefig(partial, format="png", dpi=90)
            print(picture, file=sys.stderr)

    return errors.run("picture", work)


if __name__ == "__main__":
    raise SystemExit(main())
