"""Build the kinds of panel: time series, heat map, single value, table."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Panel = timeseries.Panel | heatmap.Panel | stat.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, heatmap.Panel, stat.Panel, table.Panel)
Thresholds = Mapping[float, str]  # the colour from each value on
NO_THRESHOLDS: Thresholds = {}

# Colours by the legend of a query and the end of a series' name. Other series get the same colour
# wherever their name is the same. Grafana has a shade of each colour for both its themes.
COLOURS = {
    "{{prediction}}": {"positive": "blue", "negative": "orange"},
    "{{status}}": {"2..": "green", "3..": "purple", "4..": "yellow", "5..": "red"},
    "{{outcome}}": {
        "promoted|deployed|taken in|succeeded": "green",
        "refused|superseded|undecided": "yellow",
        "held": "blue",
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


def time_series_panel(
    title: str,
    description: str,
    unit: str,
    queries: Mapping[str, str],
    thresholds: Thresholds = NO_THRESHOLDS,
    alerts: Sequence[str] = (),
    span: int = 8,
    stacked: bool = False,
    steps: bool = False,
    log: bool = False,
    minimum: float | None = 0,
) -> timeseries.Panel:
    """Return a panel of lines over time; ``queries`` maps legends to PromQL.

    ``thresholds`` become dashed lines, ``alerts`` links to their runbooks.
    """
    panel = timeseries.Panel().unit(unit).line_width(2).show_points(VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    )
    panel.fill_opacity(60 if stacked else 0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A")).line_width(0)
    if steps:
        panel.line_interpolation(LineInterpolation.STEP_AFTER)
    if log:
        panel.scale_distribution(
            common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10)
        )
    elif minimum is not None:
        panel.min(minimum)
    if thresholds:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        ).thresholds(_thresholds(thresholds))
    panel.color_scheme(build.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for place, (legend, query) in enumerate(queries.items()):
        target = prometheus.Dataquery().ref_id("ABC"[place]).expr(query).legend_format(legend)
        panel.with_target(target.range())
        for ending, colour in _colours(legend).items():
            fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
            panel.override_by_regexp(f"/^(.*, )?({ending})$/", [fixed])
    return _finish(panel, title, description, alerts, span, 8)


def heatmap_panel(
    title: str, description: str, unit: str, buckets: str, span: int = 8
) -> heatmap.Panel:
    """Return a heat map of a histogram's increase, by its label ``le``."""
    query = prometheus.Dataquery().ref_id("A").expr(buckets).legend_format("{{le}}").range()
    panel = (
        heatmap.Panel()
        .with_target(query.format(PromQueryFormat.HEATMAP))
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .cell_gap(1)
        .show_legend()
        .mode(TooltipDisplayMode.SINGLE)
        .scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR))
        .unit(unit)
    )
    return _finish(panel, title, description, (), span, 8)


def value_panel(
    title: str,
    description: str,
    unit: str,
    query: str,
    thresholds: Thresholds = NO_THRESHOLDS,
    base_colour: str = "green",
    decimals: int | None = None,
    alerts: Sequence[str] = (),
    span: int = 6,
) -> stat.Panel:
    """Return a panel of the present value, coloured by the highest threshold that it has reached.

    Below the first threshold the colour is ``base_colour``.
    """
    target = prometheus.Dataquery().ref_id("A").expr(query).instant()
    panel = stat.Panel().unit(unit).with_target(target).graph_mode(BigValueGraphMode.NONE)
    panel.color_mode(BigValueColorMode.VALUE if thresholds else BigValueColorMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(thresholds, base_colour))
    if decimals is not None:
        panel.decimals(decimals)
    return _finish(panel, title, description, alerts, span, 4)


def table_panel(
    title: str,
    description: str,
    query: str,
    labels: Sequence[str],
    value_title: str,
    unit: str,
    span: int = 8,
) -> table.Panel:
    """Return a table with a row for each series: these labels, and the present value."""
    target = prometheus.Dataquery().ref_id("A").expr(query).instant()
    order = {name: place for place, name in enumerate([*labels, "Value"])}
    options = {"excludeByName": {"Time": True}, "indexByName": order}
    panel = table.Panel().with_target(target.format(PromQueryFormat.TABLE)).unit(unit)
    panel.with_transformation(
        DataTransformerConfig(
            "organize", options=options | {"renameByName": {"Value": value_title}}
        )
    )
    return _finish(panel, title, description, (), span, 8)


def _colours(legend: str) -> dict[str, str]:
    """Return the fixed colours of the series that this legend names, by the end of their names."""
    return next((colours for part, colours in COLOURS.items() if part in legend), {})


def _thresholds(thresholds: Thresholds, base_colour: str = "green") -> build.ThresholdsConfig:
    steps = [
        Threshold(None, base_colour),
        *(Threshold(at, colour) for at, colour in thresholds.items()),
    ]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _finish(
    panel: P, title: str, description: str, alerts: Sequence[str], span: int, height: int
) -> P:
    """Set what every kind of panel has; ``alerts`` become links to their runbooks."""
    panel.title(title).description(description).datasource(SOURCE).span(span).height(height)
    if alerts:
        panel.links(
            [
                build.DashboardLink(alert).url(f"${{docs}}/runbooks/{alert}.md").target_blank(True)
                for alert in alerts
            ]
        )
    return panel
