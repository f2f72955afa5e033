"""Measure served and refused requests, and liveness, at ten times the load that is admitted.

wrk (from Debian) keeps a number of connections busy: each sends its next request when it has an
answer, a refusal included. Meanwhile liveness is probed fifty times a second, each time on a new
connection, as the kubelet does. Needs ``data/`` and a champion from ``make train``.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.training import DATA
from components.io.processes import answers, free_ports, running
from serving.limits import RequestLimits

OVERLOAD = 10 * RequestLimits().max_in_flight
LUA = """
local file = io.open(os.getenv("BODY"))
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "application/json"
"""


@contextmanager
def serving(model_uri: str, scratch: Path) -> Iterator[int]:
    """Serve the model until the block ends; yield the port."""
    port, grpc_port = free_ports(2)
    command = [sys.executable, "-m", "serving", "--model_uri", model_uri]
    command += ["--http_port", str(port), "--grpc_port", str(grpc_port)]
    ready = partial(answers, f"http://127.0.0.1:{port}/v1/models/sentiment")
    with running(command, ready, scratch / "server.log"):
        yield port


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status}")
    text = response.read().decode()
    connection.close()
    return text


def metric(port: int, name: str) -> float:
    families = text_string_to_metric_families(get(port, "/metrics"))
    return next(family.samples[0].value for family in families if family.name == name)


def run_load(port: int, size: int, connections: int, seconds: int, scratch: Path) -> str:
    """Load the server, probe it at the same time, and return a row of the table."""
    script = scratch / "post.lua"
    script.write_text(LUA)
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}"]
    command += ["--timeout=60", f"--script={script}"]
    command += [f"http://127.0.0.1:{port}/v1/models/sentiment:predict"]
    environment = os.environ | {"BODY": str(scratch / f"{size}.json")}
    before = metric(port, "process_cpu_seconds")
    wrk = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    probes = []
    while wrk.poll() is None:
        started = time.perf_counter()
        get(port, "/v2/health/live")
        probes.append((time.perf_counter() - started) * 1000)
        time.sleep(0.02)
    cpu = metric(port, "process_cpu_seconds") - before
    output = wrk.communicate()[0]
    total, lasted = map(float, re.findall(r"(\d+) requests in ([\d.]+)s", output)[0])
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output)))
    median, p99 = np.percentile(probes, [50, 99])
    rates = f"{(total - refused) / lasted:.0f} | {refused / lasted:.0f}"
    live = f"{median:.1f} | {p99:.1f} | {max(probes):.1f}"
    return f"| {size} | {connections} | {rates} | {cpu / lasted:.0%} | {live} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--model_uri", default="models:/sentiment@champion")
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args(argv)
    if not DATA.exists():
        parser.error(f"{DATA} does not exist; run make train first")
    table = pd.read_parquet(DATA, columns=["text"])
    texts = table["text"][table["text"].str.len().between(1000, 1600)].tolist()
    print("| reviews | clients | served/s | refused/s | CPU | live p50 ms | p99 | max |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        with serving(args.model_uri, scratch) as port:
            for size in (1, 32, 256):
                (scratch / f"{size}.json").write_text(json.dumps({"instances": texts[:size]}))
                for connections in (8, OVERLOAD):
                    while metric(port, "app_requests_in_flight"):
                        time.sleep(0.5)
                    print(run_load(port, size, connections, args.seconds, scratch), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
