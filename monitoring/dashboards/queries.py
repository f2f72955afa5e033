"""Build PromQL over the metrics of the predictors that the dashboard's variables select."""

from monitoring.settings import PREDICTORS

LATENCY = "app_request_latency_seconds"
OF_SERVICE = 'namespace="$namespace", service="$service"'
SELECTED = f'{PREDICTORS}, {OF_SERVICE}, predictor=~"$predictor"'
# requests of callers; one refused before routing has the endpoint "other"
FROM_CALLERS = 'endpoint=~".*:predict|.*:explain|.*/infer|.*/ModelInfer|other"'
# requests with one review and with more; refusals, which are quick, have neither label
SINGLE, BATCHES = (
    f'endpoint=~".*:predict|.*/infer|.*/ModelInfer", reviews="{reviews}"'
    for reviews in ("1", "more")
)
PREDICTED = 'endpoint=~".*:predict|.*/infer|.*/ModelInfer", reviews!="none"'


def select(metric: str, where: str = "") -> str:
    return f"{metric}{{{', '.join(filter(None, [SELECTED, where]))}}}"


def rate(metric: str, *by: str, where: str = "", over: str = "$__rate_interval") -> str:
    """Return the increase per second of a counter, summed by these labels."""
    return f"sum{_by(by)} (rate({select(metric, where)}[{over}]))"


def increase(metric: str, *by: str, where: str = "", over: str = "$__rate_interval") -> str:
    return f"sum{_by(by)} (increase({select(metric, where)}[{over}]))"


def quantile(share: float, histogram: str, *by: str, where: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *by, 'le', where=where)})"


def share(part: str, whole: str) -> str:
    """Return a share that is 0, not absent, where ``part`` has no series."""
    return f"({part} or 0 * {whole}) / {whole}"


def mean(histogram: str, *by: str) -> str:
    return f"{rate(f'{histogram}_sum', *by)} / {rate(f'{histogram}_count', *by)}"


def error_share(*by: str) -> str:
    """Return the share of server errors among answers with 2xx and 5xx."""
    failed = rate("app_request_count_total", *by, where=f'{FROM_CALLERS}, status=~"5.."')
    return share(
        failed, rate("app_request_count_total", *by, where=f'{FROM_CALLERS}, status=~"2..|5.."')
    )


def service_error_share(over: str) -> str:
    """Return the share of server errors of the selected service, the gateway's included.

    As in the alert rules, the errors are the larger of two counts: the gateway's, which include the
    predictors', and the predictors', where callers go around the gateway.
    """
    requests = f"app_request_count_total{{{PREDICTORS}, {OF_SERVICE}, {FROM_CALLERS}"
    successes, errors = (
        f'sum by (namespace, service) (increase({requests}, status=~"{status}.."}}[{over}]))'
        for status in (2, 5)
    )
    by_gateway = f"increase(gateway:errors:total{{{OF_SERVICE}}}[{over}])"
    errors = (
        f"max by (namespace, service) ({errors}"
        f" or sum by (namespace, service, gateway) ({by_gateway}) or 0 * {successes})"
    )
    return f"{errors} / ({errors} + ({successes} or 0 * {errors}))"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
