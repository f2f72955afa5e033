"""PromQL over the raw metrics of the predictors that the dashboard's variables select."""

LATENCY = "app_request_latency_seconds"
OURS = 'job="sentiment", namespace="$namespace", predictor=~"$predictor"'
# what callers ask for; what was refused at the door has the endpoint "other"
ASKED = 'endpoint=~".*:predict|.*:explain|.*/infer|.*/ModelInfer|other"'
# of one review and of more; refusals, which are quick, are neither
SINGLE, BATCHES = (
    f'endpoint=~".*:predict|.*/infer|.*/ModelInfer", reviews="{reviews}"'
    for reviews in ("1", "more")
)
PREDICTED = 'endpoint=~".*:predict|.*/infer|.*/ModelInfer", reviews!="none"'


def select(metric: str, where: str = "") -> str:
    return f"{metric}{{{', '.join(filter(None, [OURS, where]))}}}"


def rate(metric: str, *by: str, where: str = "", over: str = "$__rate_interval") -> str:
    """Return the sum of the increase per second of a counter, for each of ``by``."""
    return f"sum{_by(by)} (rate({select(metric, where)}[{over}]))"


def increase(metric: str, *by: str, where: str = "", over: str = "$__rate_interval") -> str:
    return f"sum{_by(by)} (increase({select(metric, where)}[{over}]))"


def quantile(share: float, histogram: str, *by: str, where: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *by, 'le', where=where)})"


def share(part: str, whole: str) -> str:
    """Return a share, 0 and not absent where the part has never been seen."""
    return f"({part} or 0 * {whole}) / {whole}"


def mean(histogram: str, *by: str) -> str:
    return f"{rate(f'{histogram}_sum', *by)} / {rate(f'{histogram}_count', *by)}"


def errors(*by: str) -> str:
    """Return the share of server errors; the callers' own mistakes (4xx) are no part of it."""
    failed = rate("app_request_count_total", *by, where=f'{ASKED}, status=~"5.."')
    return share(failed, rate("app_request_count_total", *by, where=f'{ASKED}, status=~"2..|5.."'))


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
