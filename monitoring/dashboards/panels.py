"""The kinds of panel: lines over time, a heat map, a number, a table."""

from collections.abc import Mapping, Sequence

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
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.style import Limits, colours, finished, thresholds

NONE: Limits = {}


def lines(
    title: str,
    text: str,
    unit: str,
    queries: Mapping[str, str],
    limits: Limits = NONE,
    alerts: Sequence[str] = (),
    span: int = 8,
    stacked: bool = False,
    steps: bool = False,
    log: bool = False,
    least: float | None = 0,
) -> timeseries.Panel:
    """Return a panel of the queries, given by the names of their series, over time.

    ``limits`` are drawn as dashed lines, and ``alerts`` are those whose runbooks belong to it.
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
    elif least is not None:
        panel.min(least)
    if limits:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        ).thresholds(thresholds(limits))
    panel.color_scheme(build.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for place, (name, query) in enumerate(queries.items()):
        target = prometheus.Dataquery().ref_id("ABC"[place]).expr(query).legend_format(name)
        panel.with_target(target.range())
        for ending, colour in colours(name).items():
            fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
            panel.override_by_regexp(f"/^(.*, )?({ending})$/", [fixed])
    return finished(panel, title, text, alerts, span, 8)


def heat(title: str, text: str, unit: str, buckets: str, span: int = 8) -> heatmap.Panel:
    """Return a heat map of a histogram's increase, by ``le``."""
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
    return finished(panel, title, text, (), span, 8)


def number(
    title: str,
    text: str,
    unit: str,
    query: str,
    limits: Limits = NONE,
    start: str = "green",
    decimals: int | None = None,
    alerts: Sequence[str] = (),
    span: int = 6,
) -> stat.Panel:
    """Return one value, now, in the colour of the last of the ``limits`` that it has reached."""
    target = prometheus.Dataquery().ref_id("A").expr(query).instant()
    panel = stat.Panel().unit(unit).with_target(target).graph_mode(BigValueGraphMode.NONE)
    panel.color_mode(BigValueColorMode.VALUE if limits else BigValueColorMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(thresholds(limits, start))
    if decimals is not None:
        panel.decimals(decimals)
    return finished(panel, title, text, alerts, span, 4)


def rows(
    title: str, text: str, query: str, shown: Sequence[str], value: str, unit: str, span: int = 8
) -> table.Panel:
    """Return a table of the labels ``shown`` of each series, and its value."""
    target = prometheus.Dataquery().ref_id("A").expr(query).instant()
    order = {name: place for place, name in enumerate([*shown, "Value"])}
    options = {"excludeByName": {"Time": True}, "indexByName": order}
    panel = table.Panel().with_target(target.format(PromQueryFormat.TABLE)).unit(unit)
    panel.with_transformation(
        DataTransformerConfig("organize", options=options | {"renameByName": {"Value": value}})
    )
    return finished(panel, title, text, (), span, 8)
