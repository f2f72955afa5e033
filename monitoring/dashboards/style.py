"""What all panels have: source, title, text, runbooks, size; and colours for the same things."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Panel = timeseries.Panel | heatmap.Panel | stat.Panel | table.Panel
Limits = Mapping[float, str]  # colours from these values on
P = TypeVar("P", timeseries.Panel, heatmap.Panel, stat.Panel, table.Panel)

# of the series that a query's name stands for, by how theirs ends; any other has the same colour
# wherever its name is the same. Grafana has a shade of each for its light and its dark theme
COLOURS = {
    "{{prediction}}": {"positive": "blue", "negative": "orange"},
    "{{status}}": {"2..": "green", "3..": "purple", "4..": "yellow", "5..": "red"},
    "{{outcome}}": {
        "promoted|deployed|taken in|succeeded": "green",
        "refused|superseded": "yellow",
        "rolled_back|failed": "red",
    },
    "{{state}}": {"succeeded": "green", "running": "blue", "failed": "red"},
    "{{alias}}": {"champion": "blue", "challenger": "orange"},
    "p50": {"p50": "super-light-blue"},
    "p90": {"p90": "blue"},
    "p99": {"p99": "dark-blue"},
    "kept": {"kept": "green"},
    "lost": {"lost: .*": "red"},
}


def colours(name: str) -> dict[str, str]:
    found = [each for part, each in COLOURS.items() if part in name]
    return found[0] if found else {}


def thresholds(limits: Limits, start: str = "green") -> build.ThresholdsConfig:
    steps = [Threshold(None, start), *(Threshold(at, colour) for at, colour in limits.items())]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def finished(panel: P, title: str, text: str, alerts: Sequence[str], span: int, height: int) -> P:
    panel.title(title).description(text).datasource(SOURCE).span(span).height(height)
    if alerts:
        panel.links(
            [
                build.DashboardLink(alert).url(f"${{docs}}/runbooks/{alert}.md").target_blank(True)
                for alert in alerts
            ]
        )
    return panel
