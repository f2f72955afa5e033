"""With few requests, single errors start no alert, and an outage still pages within a stated time.

Requests are counted and scraped as on a cluster: a time series begins with its first request, and
a restarted pod counts again from nothing.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: make packages"
)
RULES = REPO / "manifests/monitoring/config/rules.yml"
PODS = ("a", "b", "c")
MINUTE, HOUR, DAY = 60, 3_600, 86_400
LABELS = 'component="predictor", namespace="sentiment", service="sentiment", predictor="v7"'
ROUTE = 'endpoint="/v1/models/{model_name}:predict"'
BURN, SLOW = "SentimentErrorBudgetBurn 1h", "SentimentLatencyHigh"


@dataclass(frozen=True)
class Request:
    time: int
    pod: str = "a"
    status: str = "200"
    seconds: float = 0.02


def count_request(request: Request) -> Iterator[tuple[str, int]]:
    """Yield the time series that the predictor's metrics have after a request, with the growth."""
    labels = f'{LABELS}, pod="{request.pod}", {ROUTE}'
    yield f'app_request_count_total{{{labels}, method="POST", status="{request.status}"}}', 1
    timed = f'app_request_latency_seconds_%s{{{labels}, reviews="1"%s}}'
    yield timed % ("count", ""), 1
    for bound in ("0.1", "1.0", "+Inf"):
        yield timed % ("bucket", f', le="{bound}"'), int(request.seconds <= float(bound))


def scrape(
    requests: Iterable[Request], interval: int, until: int, restarts: dict[str, int]
) -> dict[str, str]:
    """Return the samples of all pods in promtool's notation, one every ``interval`` seconds.

    A pod restarts at its time of ``restarts``; the next scrape of it fails.
    """
    samples: dict[str, list[str]] = {}
    counts: dict[str, Counter[str]] = {pod: Counter() for pod in PODS}
    waiting = sorted(requests, key=lambda request: request.time, reverse=True)
    for number, now in enumerate(range(0, until + 1, interval)):
        lost = {pod for pod, time in restarts.items() if now - interval < time <= now}
        while waiting and waiting[-1].time <= now:
            request = waiting.pop()
            for series, growth in count_request(request):
                counts[request.pod][series] += growth
        for pod in PODS:
            up = f'up{{{LABELS}, pod="{pod}"}}'
            now_scraped = {up: "0" if pod in lost else "1"}
            now_scraped |= {each: str(count) for each, count in counts[pod].items()}
            if pod in lost:
                now_scraped |= dict.fromkeys(counts[pod], "stale")
                counts[pod].clear()
            for series, value in now_scraped.items():
                earlier = samples.setdefault(series, [])
                earlier += ["_"] * (number - len(earlier)) + [value]
    return {series: notation(values) for series, values in samples.items()}


def notation(values: list[str]) -> str:
    """Return samples as promtool writes them, with equal ones in a row as one word."""
    words = []
    for value, group in groupby(values):
        repeats = len(list(group)) - (value != "_")
        words.append(f"{value}x{repeats}" if repeats else value)
    return " ".join(words)


def check(
    directory: Path,
    requests: Iterable[Request],
    expected: set[str],
    interval: int,
    until: int,
    by: tuple[str, ...] = ("alertname", "window"),
    evaluation: int = 50,  # so that rules and scrapes meet in every phase
    restarts: dict[str, int] | None = None,
) -> None:
    """Check which pages have been sent until a time, each as the values of the labels ``by``.

    If none is expected, there must be no ticket either.
    """
    series = scrape(requests, interval, until, restarts or {})
    for job in ("sentiment-receiver", "sentiment-exporter"):
        series[f'up{{job="{job}", namespace="sentiment"}}'] = f"1x{until // interval}"
    series['kube_pod_container_status_restarts_total{namespace="sentiment", pod="a"}'] = (
        f"0x{until // interval}"
    )
    severity = "page" if expected else "page|ticket"
    fired = f'ALERTS{{alertstate="firing", severity=~"{severity}"}}[{until}s]'
    labels = [
        ", ".join(f'{name}="{value}"' for name, value in zip(by, alert.split(), strict=False))
        for alert in sorted(expected)
    ]
    test = {
        "interval": f"{interval}s",
        "input_series": [{"series": name, "values": text} for name, text in series.items()],
        "promql_expr_test": [
            {
                "expr": f"group by ({', '.join(by)}) (count_over_time({fired}))",
                "eval_time": f"{until}s",
                "exp_samples": [{"labels": f"{{{each}}}", "value": 1} for each in labels],
            }
        ],
    }
    cases = {"rule_files": [str(RULES)], "evaluation_interval": f"{evaluation}s", "tests": [test]}
    (directory / "cases.yml").write_text(json.dumps(cases))
    result = subprocess.run(
        ["promtool", "test", "rules", "cases.yml"], cwd=directory, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def steady(every: int, until: int = 8 * HOUR, start: int = 7) -> list[Request]:
    """Return a request every so many seconds, of each pod in turn."""
    return [
        Request(time, PODS[number % len(PODS)])
        for number, time in enumerate(range(start, until, every))
    ]


def fail(requests: Iterable[Request], start: int, pods: Iterable[str] = PODS) -> list[Request]:
    """Let every request to these pods fail from ``start`` on."""
    return [
        replace(each, status="500") if each.time >= start and each.pod in pods else each
        for each in requests
    ]


QUIET_UNTIL = 150 * MINUTE
SPARSE = steady(3 * MINUTE, until=QUIET_UNTIL)
QUIET = {
    "no error": [],
    "one error": [Request(HOUR, status="500")],
    "one error at each pod": [Request(HOUR + 200 * n, PODS[n], "500") for n in range(3)],
    "a caller that tries five times": [Request(HOUR + 4 * n, status="500") for n in range(5)],
    "five errors in an hour": [Request(HOUR + 700 * n, status="500") for n in range(5)],
    "two slow requests": [Request(HOUR + 90 * n, seconds=0.4) for n in range(2)],
    "nine slow requests at once": [Request(HOUR + n, seconds=0.4) for n in range(9)],
    "a burst": [Request(HOUR + n // 5, PODS[n % 3]) for n in range(300)]
    + [Request(HOUR + 20 * n, status="500", seconds=0.4) for n in range(3)],
}


@pytest.mark.parametrize("interval", [15, 30, 60])
@pytest.mark.parametrize("events", QUIET)
def test_few_events_start_no_alert(tmp_path: Path, events: str, interval: int):
    check(tmp_path, SPARSE + QUIET[events], set(), interval, QUIET_UNTIL)


@pytest.mark.parametrize("interval", [15, 30, 60])
def test_burst_after_silence_starts_none(tmp_path: Path, interval: int):
    burst = [Request(HOUR + n // 5, PODS[n % 3]) for n in range(100)]
    errors = [Request(HOUR + 5 * n, status="500", seconds=0.4) for n in range(3)]
    check(tmp_path, burst + errors, set(), interval, QUIET_UNTIL)


@pytest.mark.parametrize("interval", [15, 30, 60])
def test_restart_adds_no_errors(tmp_path: Path, interval: int):
    errors = [Request(HOUR + 1_000 * n, status="500") for n in (0, 1, 2, 3)]
    restarts = {"a": HOUR + 1_500}
    check(tmp_path, SPARSE + errors, set(), interval, QUIET_UNTIL, restarts=restarts)


def test_week_of_sparse_traffic_is_quiet(tmp_path: Path):
    """With an error every 36 hours, two slow requests a day, and a burst on the first."""
    days = range(9)
    week = steady(20 * MINUTE, until=9 * DAY)
    week += [Request(DAY + n, PODS[n % 3]) for n in range(900)]
    week += [Request(36 * HOUR * n + 400, PODS[n % 3], "500") for n in range(1, 6)]
    week += [Request(DAY * n + 90 * m, seconds=0.4) for n in days for m in range(2)]
    check(tmp_path, week, set(), interval=60, until=9 * DAY, evaluation=30 * MINUTE)


# how long an outage lasts until it pages, by the seconds between requests; docs/watch.md states it
OUTAGES = {30: 10, 180: 40, 300: 60, 600: 150, 1_200: 300}


@pytest.mark.parametrize("interval", [15, 30, 60])
@pytest.mark.parametrize("every", OUTAGES)
def test_sparse_outage_pages_in_time(tmp_path: Path, every: int, interval: int):
    start = HOUR
    requests = fail(steady(every), start)
    until = start + OUTAGES[every] * MINUTE
    check(tmp_path, requests, {"SentimentErrorBudgetBurn"}, interval, until, by=("alertname",))


@pytest.mark.parametrize("interval", [15, 30, 60])
def test_outage_across_a_restart_pages(tmp_path: Path, interval: int):
    start = HOUR
    requests = fail(steady(3 * MINUTE), start)
    restarts = dict.fromkeys(PODS, start + 20 * MINUTE)
    until = start + 45 * MINUTE
    check(tmp_path, requests, {BURN}, interval, until, restarts=restarts)


@pytest.mark.parametrize("interval", [15, 30, 60])
def test_one_failing_pod_of_three_pages(tmp_path: Path, interval: int):
    start = HOUR
    requests = fail(steady(MINUTE), start, pods="c")
    check(tmp_path, requests, {BURN}, interval, start + 30 * MINUTE)


@pytest.mark.parametrize("interval", [15, 30, 60])
@pytest.mark.parametrize(("every", "minutes", "alert"), [(10, 18, SLOW), (180, 50, f"{SLOW} 6h")])
def test_slow_service_pages_in_time(
    tmp_path: Path, every: int, minutes: int, alert: str, interval: int
):
    start = 3 * HOUR
    requests = [
        replace(each, seconds=0.4) if each.time >= start else each for each in steady(every)
    ]
    check(tmp_path, requests, {alert}, interval, start + minutes * MINUTE)


def test_missing_requests_page_in_time(tmp_path: Path):
    """After eight days with 20 requests an hour, none arrives for two hours."""
    end = 8 * DAY
    requests = steady(3 * MINUTE, until=end)
    until = end + 2 * HOUR
    page = {"SentimentTrafficAbsent 1h"}
    check(tmp_path, requests, page, interval=60, until=until, evaluation=30 * MINUTE)


def test_docs_state_times_of_outages():
    text = (REPO / "docs/watch.md").read_text()
    for every, minutes in OUTAGES.items():
        row = f"| {every} s | {minutes} minutes |"
        assert row in text, row
    assert all(a < b for a, b in pairwise(OUTAGES.values()))
