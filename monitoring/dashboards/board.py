"""A dashboard around its panels: variables, links, annotations, places on the grid."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from monitoring.dashboards.style import SOURCE, Panel

TAG = "sentiment"
SERVICE, MODEL, PIPELINE = (f"sentiment-{name}" for name in ("service", "model", "pipeline"))


class _Moments(model.AnnotationQuery):
    """An annotation at the times, in milliseconds, that are the values of a query.

    What only the Prometheus data source reads of it, the SDK knows nothing of.
    """

    def __init__(self, name: str, expr: str, colour: str, text: str) -> None:
        super().__init__(name, SOURCE, True, icon_color=colour, expr=expr)
        self.text = text

    def to_json(self) -> dict[str, object]:
        own = {"titleFormat": self.name, "textFormat": self.text, "useValueForTime": True}
        return super().to_json() | own


ANNOTATIONS = (
    _Moments(
        "Champion",
        '1000 * pipeline_decision_timestamp_seconds{namespace="$namespace", outcome!="refused"}',
        "purple",
        "{{outcome}}: {{before}} → {{after}}",
    ),
    _Moments(
        "Deployment",
        '1000 * pipeline_deployment_timestamp_seconds{namespace="$namespace"}',
        "blue",
        "{{overlay}}, {{outcome}}: {{before}} → {{after}}",
    ),
)


def dashboard(
    uid: str,
    title: str,
    text: str,
    panels: Mapping[str, Sequence[Panel]],
    variables: Mapping[str, str],
    docs: str,
) -> model.Dashboard:
    """Return a dashboard of ``panels``, in rows by their titles.

    ``variables`` are queries of the values to choose from; all of them at once may be chosen,
    but of the namespace. ``docs`` is the address of this repository's docs.
    """
    board = build.Dashboard(title).uid(uid).description(text).tags([TAG]).readonly()
    board.time("now-6h", "now").refresh("1m").tooltip(model.DashboardCursorSync.CROSSHAIR)
    board.with_variable(
        build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    )
    for name, query in variables.items():
        board.with_variable(_choice(name, query))
    board.with_variable(build.ConstantVariable("docs").value(docs))
    board.link(
        build.DashboardLink("Sentiment")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
    board.link(build.DashboardLink("Runbooks").url("${docs}/runbooks").target_blank(True))
    for row, members in panels.items():
        board.with_row(build.Row(row))
        for panel in members:
            board.with_panel(panel)
    built = board.build()
    built.annotations = model.AnnotationContainer(list(ANNOTATIONS))
    for variable in built.templating.list_val or []:
        variable.auto = variable.auto_count = variable.auto_min = (
            None  # of another kind of variable
        )
    for number, placed in enumerate(built.panels or [], 1):
        placed.id_val = number  # by which a panel is linked to
    return built


def _choice(name: str, query: str) -> build.QueryVariable:
    variable = build.QueryVariable(name).label(name.capitalize()).datasource(SOURCE)
    variable.query({"query": query, "refId": name}).refresh(
        model.VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    if name != "namespace":
        variable.multi(True).include_all(True).all_value(".*")
        variable.current(model.VariableOption(text="All", value="$__all"))
    return variable
