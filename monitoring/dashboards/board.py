"""Build a dashboard around its panels: variables, links, annotations, identifiers."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from monitoring.dashboards.panels import SOURCE, Panel
from monitoring.dashboards.queries import OF_SERVICE
from monitoring.settings import NAME

TAG = NAME
SERVICE, MODEL, PIPELINE = (f"{NAME}-{name}" for name in ("service", "model", "pipeline"))  # uids


class _TimesAnnotation(model.AnnotationQuery):
    """An annotation at times in milliseconds, the values of a query.

    Adds the fields of the Prometheus data source, which the SDK does not have.
    """

    def __init__(self, name: str, expr: str, colour: str, text: str) -> None:
        super().__init__(name, SOURCE, True, icon_color=colour, expr=expr)
        self.text = text

    def to_json(self) -> dict[str, object]:
        prometheus_fields = {
            "titleFormat": self.name,
            "textFormat": self.text,
            "useValueForTime": True,
        }
        return super().to_json() | prometheus_fields


ANNOTATIONS = (
    _TimesAnnotation(
        "Champion",
        f'1000 * pipeline_decision_timestamp_seconds{{{OF_SERVICE}, outcome!="refused"}}',
        "purple",
        "{{outcome}}: {{before}} → {{after}}",
    ),
    _TimesAnnotation(
        "Deployment",
        f"1000 * pipeline_deployment_timestamp_seconds{{{OF_SERVICE}}}",
        "blue",
        "{{overlay}}, {{outcome}}: {{before}} → {{after}}",
    ),
)


def dashboard(
    uid: str,
    name: str,
    description: str,
    panels: Mapping[str, Sequence[Panel]],
    variables: Mapping[str, str],
    docs: str,
) -> model.Dashboard:
    """Return a dashboard of ``panels``, given by the titles of their rows.

    ``variables`` maps names to queries of the values to select from; several predictors can be
    selected at once. ``docs`` is the address of this repository's docs.
    """
    board = build.Dashboard(name).uid(uid).description(description).tags([TAG]).readonly()
    board.time("now-6h", "now").refresh("1m").tooltip(model.DashboardCursorSync.CROSSHAIR)
    board.with_variable(
        build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    )
    for name, query in variables.items():
        board.with_variable(_query_variable(name, query))
    board.with_variable(build.ConstantVariable("docs").value(docs))
    board.link(
        build.DashboardLink("Sentiment")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
    board.link(build.DashboardLink("Runbooks").url("${docs}/runbooks").target_blank(True))
    for title, row in panels.items():
        board.with_row(build.Row(title))
        for panel in row:
            board.with_panel(panel)
    built = board.build()
    built.annotations = model.AnnotationContainer(list(ANNOTATIONS))
    for variable in built.templating.list_val or []:
        # fields of another kind of variable, which the SDK fills in for all kinds
        variable.auto = variable.auto_count = variable.auto_min = None
    for number, panel_or_row in enumerate(built.panels or [], 1):
        panel_or_row.id_val = number  # links to a panel contain it
    return built


def _query_variable(name: str, query: str) -> build.QueryVariable:
    variable = build.QueryVariable(name).label(name.capitalize()).datasource(SOURCE)
    variable.query({"query": query, "refId": name}).refresh(
        model.VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    if name == "predictor":
        variable.multi(True).include_all(True).all_value(".*")
        variable.current(model.VariableOption(text="All", value="$__all"))
    return variable
