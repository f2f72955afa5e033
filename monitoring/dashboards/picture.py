"""Draw the dashboards' queries, as a Prometheus answers them now: for docs, where no Grafana is."""

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from components import cli
from components.arguments import count
from components.io.files import replacing
from monitoring.dashboards.__main__ import OUTPUT
from monitoring.dashboards.drawing import KINDS, TONES
from monitoring.dashboards.source import Source

WIDTH, ROW = 13.0, 0.27  # inches, of 24 columns and of a row of the grid


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
        axes.locator_params(axis="x", nbins=6)
        KINDS[panel["type"]](axes, panel, source)
        if panel["type"] == "timeseries" and axes.axison:
            _moments(axes, board, source)
    return figure


def _moments(axes: Axes, board: dict[str, Any], source: Source) -> None:
    first, last = axes.get_xlim()
    for annotation in board["annotations"]["list"]:
        for each in source.now(annotation["expr"]):
            at = source.minutes(float(each["value"][1]) / 1000)
            if first < at < last:
                axes.axvline(at, color=TONES[annotation["iconColor"]], linewidth=0.8, ls=":")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.dashboards.picture", description=__doc__
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
                figure.savefig(drawn := BytesIO(), format="png", dpi=90)
                Image.open(drawn).convert("RGB").quantize(256).save(partial, "PNG", optimize=True)
            print(picture, file=sys.stderr)

    return cli.run("picture", work)


if __name__ == "__main__":
    raise SystemExit(main())
