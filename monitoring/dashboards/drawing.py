"""The kinds of panel, drawn with Matplotlib from the answers to their queries."""

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from monitoring.dashboards.source import Source

UNITS = {"percentunit": (100, "%"), "s": (1000, "ms"), "bytes": (1e-6, "MB"), "reqps": (1, "/s")}
TONES = {
    **{"super-light-blue": "#8ab8ff", "blue": "#3274d9", "dark-blue": "#1250b0"},
    **{"green": "#56a64b", "yellow": "#e0b400", "orange": "#ff780a", "red": "#e02f44"},
    **{"purple": "#a352cc"},
}


def _unit(panel: dict[str, Any]) -> tuple[float, str]:
    return UNITS.get(panel["fieldConfig"]["defaults"]["unit"], (1, ""))


def _nothing(axes: Axes) -> None:
    _say(axes, "no data here", fontsize=8, color="grey")


def _say(axes: Axes, text: str, **how: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **how)


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
        colour = TONES[found[0]] if found else None
        axes.plot(at, values, label=name, linewidth=1.2, color=colour)
    if panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)
    if panel["fieldConfig"]["defaults"]["custom"].get("scaleDistribution", {}).get("log"):
        axes.set_yscale("log")
    top = axes.get_ylim()[1]
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]:
        if step["value"] is not None and step["value"] * factor < 3 * top:
            colour = TONES[step["color"]]
            axes.axhline(step["value"] * factor, color=colour, linewidth=0.8, ls="--")
    axes.set_ylabel(unit, fontsize=6)
    columns = max(1, int(axes.get_position().width * 150 / (max(map(len, drawn)) + 6)))
    axes.legend(
        fontsize=5.5, frameon=False, ncols=columns, loc="upper left", bbox_to_anchor=(0, -0.12)
    )


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
    value = float(found[0]["value"][1])
    text = (
        f"{value / 60:.3g} min" if unit == "ms" and value > 60 else f"{value * factor:.4g} {unit}"
    )
    _say(axes, text, fontsize=14)


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
    table.auto_set_column_width(list(range(len(heads))))


KINDS = {"timeseries": _lines, "heatmap": _heat, "stat": _number, "table": _table}
