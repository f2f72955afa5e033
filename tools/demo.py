"""Run the whole system once: stages, registry, predictor, two requests and its metrics."""

import argparse
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from components import cli
from components.io import processes
from tools import summary
from tools.repro import repro

REVIEWS = (
    "A wonderful film: warm, funny, and never a minute too long. I would gladly see it again.",
    "Not even the cast can save it. Two dull hours, and the ending makes no sense at all.",
)
REPORTS = Path("reports")


def main(argv: list[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__).parse_args(argv)

    def work() -> None:
        repro()
        name = _report("registered")["name"]
        uri = f"models:/{name}@champion"
        print(f"\nServing {uri} …", flush=True)
        with _serving(uri) as address:
            predictions, version = _ask(address)
            counts = _counts(address)
        _summary(predictions, version, counts)

    return cli.run("demo", work)


def _summary(predictions: list[dict[str, Any]], version: str, counts: dict[str, float]) -> None:
    print("", *summary.lines(), sep="\n")
    print(f"Served      version {version}")
    for review, prediction in zip(REVIEWS, predictions, strict=True):
        probability = prediction["probabilities"][prediction["label"]]
        print(f"Answer      {prediction['label']} ({probability:.3f}): {review}")
    print("Metrics     " + ", ".join(f"{name} {value:.0f}" for name, value in counts.items()))
    print("\nNext        make serve    the champion on port 8080")
    print("            make mlflow   runs, versions and promotions on port 5000")
    print("            reports/      metrics, plots and each prediction\n")


@contextmanager
def _serving(model_uri: str) -> Iterator[str]:
    """Serve a model on free ports and yield the server's address; stop it in the end."""
    http_port, grpc_port = processes.free_ports(2)
    command = [sys.executable, "-m", "serving", "--model_uri", model_uri]
    command += ["--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    address = f"http://127.0.0.1:{http_port}"
    ready = partial(processes.answers, f"{address}/v1/models/sentiment")
    with (
        tempfile.TemporaryDirectory() as scratch,
        processes.running(command, ready, Path(scratch) / "predictor.log"),
    ):
        yield address


def _ask(address: str) -> tuple[list[dict[str, Any]], str]:
    """Return the predictions and the version that made them."""
    request = urllib.request.Request(
        f"{address}/v1/models/sentiment:predict",
        json.dumps({"instances": REVIEWS}).encode(),
        {"content-type": "application/json"},
    )
    with processes.open_url(request, timeout=30) as response:
        return json.load(response)["predictions"], response.headers["x-model-version"]


def _counts(address: str) -> dict[str, float]:
    with processes.open_url(f"{address}/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {
        f"{family.name}{{{sample.labels['prediction']}}}": sample.value
        for family in families
        if family.name == "model_prediction_count"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def _report(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((REPORTS / f"{name}.json").read_text())
    return report


if __name__ == "__main__":
    raise SystemExit(main())
