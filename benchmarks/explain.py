"""Measure single predictions and liveness beside the largest explanations that are permitted.

A process of 16 callers asks for explanations with all tokens, of texts of 100,000 characters, as
many as fit into a body, each a fifth of a second after its last answer, a refusal included.
Meanwhile another process asks for a prediction and probes liveness twenty times a second, each time
on a new connection.
"""

import argparse
import http.client
import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.overload import metric, serving
from serving.limits import RequestLimits

CALLERS = 16
KINDS = {
    "words": "this film was not very good, but i loved the acting and hated the plot. ",
    "marks": "!",
    "emoji": "😀",
    "Han": "電影很好",
    "combining": "e\u0301a\u0300 ",
    "one word": "a\u0301",
}
EXPLAIN, PREDICT, LIVE = ":explain", ":predict", "/v2/health/live"
PAUSE = 0.2  # seconds; five times as often as the refusals ask for
PERIOD = 0.05  # seconds between two predictions or probes
SINGLE = json.dumps({"instances": ["A wonderful film, well acted."]}).encode()


def ask(port: int, path: str, body: bytes | None) -> int:
    """Return the status of a request on its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    path = f"/v1/models/sentiment{path}" if path.startswith(":") else path
    connection.request("POST" if body else "GET", path, body)
    response = connection.getresponse()
    while response.read(1 << 20):
        pass
    connection.close()
    return response.status


def call(port: int, body: bytes, until: float, statuses: "Counter[int]") -> None:
    while time.time() < until:
        statuses[ask(port, EXPLAIN, body)] += 1
        time.sleep(PAUSE)


def run_callers(
    port: int, body: bytes, until: float, found: "multiprocessing.Queue[Counter[int]]"
) -> None:
    """Ask for explanations until a time, and put the counts of their statuses."""
    statuses: Counter[int] = Counter()
    arguments = (port, body, until, statuses)
    callers = [threading.Thread(target=call, args=arguments) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    found.put(statuses)


def measure(port: int, path: str, body: bytes | None, until: float, times: list[float]) -> None:
    """Add the milliseconds of requests until a time."""
    while time.time() < until:
        began = time.perf_counter()
        if ask(port, path, body) != 200:
            raise SystemExit(f"{path}: not answered")
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(PERIOD)


def largest(kind: str) -> bytes:
    """Return the largest body with texts of a kind that the limits permit."""
    limits = RequestLimits()
    text = (kind * limits.max_characters)[: limits.max_characters]
    room = int(limits.max_body_bytes * len(text) / len(text.encode())) - 100  # for the JSON around
    characters = min(room, limits.max_request_characters)
    texts = [text] * (characters // len(text)) + [text[: characters % len(text)]]
    payload = {"instances": texts, "parameters": {"tokens": True, "top": 100}}
    return json.dumps(payload, ensure_ascii=False).encode()


def run_kind(port: int, name: str, seconds: int) -> str:
    """Load the server with explanations of a kind of text, and return a row of the table."""
    body = largest(KINDS[name])
    found: multiprocessing.Queue[Counter[int]] = multiprocessing.Queue()
    until = time.time() + seconds
    callers = multiprocessing.Process(target=run_callers, args=(port, body, until, found))
    callers.start()
    singles: list[float] = []
    probes: list[float] = []
    probing = threading.Thread(target=measure, args=(port, LIVE, None, until, probes))
    probing.start()
    measure(port, PREDICT, SINGLE, until, singles)
    probing.join()
    statuses = found.get()
    callers.join()
    if statuses.keys() - {200, 503}:
        raise SystemExit(f"{name}: {dict(statuses)}")
    figures = [
        " | ".join(f"{value:.0f}" for value in (*np.percentile(times, [50, 99]), max(times)))
        for times in (singles, probes)
    ]
    memory = metric(port, "process_resident_memory_bytes") / 1e6
    return f"| {name} | {statuses[200]} | {statuses[503]} | {' | '.join(figures)} | {memory:.0f} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explain", description=__doc__)
    parser.add_argument("--model_uri", default="models:/sentiment@champion")
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args(argv)
    print(
        "| texts | explained | refused | single p50 ms | p99 | max | live p50 ms | p99 | max | MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch, serving(args.model_uri, Path(scratch)) as port:
        for name in KINDS:
            print(run_kind(port, name, args.seconds), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
