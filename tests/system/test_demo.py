"""The README's first command works in a new clone with an empty home, and a second time."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pandas as pd

from tests.conftest import free_port, running
from tests.system.conftest import clone, environment, run


def test_the_summary_shows_the_results(demo):
    directory, output = demo
    accuracy = re.search(r"^Accuracy +(0\.\d{4}) on the test reviews$", output, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.915
    metrics = json.loads((directory / "reports/metrics.json").read_text())
    assert f"{metrics['accuracy']:.4f}" == accuracy[1]
    kept = r"^Reviews +25000 read from 1 file, 25000 kept; 5056 of them test the model$"
    assert re.search(kept, output, re.MULTILINE)
    assert re.search(r"^Classes +12500 negative, 12500 positive$", output, re.MULTILINE)
    assert re.search(r"^Gate +PASSED: accuracy ", output, re.MULTILINE)
    assert re.search(r"^Champion +version 1, promoted$", output, re.MULTILINE)
    answers = re.findall(r"^Answer +(\w+) \(0\.\d+\)", output, re.MULTILINE)
    assert answers == ["positive", "negative"]
    assert "model_prediction_count{positive} 1" in output
    assert "make serve" in output


def test_a_second_run_has_nothing_to_do(demo):
    directory, _ = demo
    lock = (directory / "dvc.lock").read_bytes()
    again = run(["dvc", "repro"], directory)
    assert re.findall(r"^Running stage '(.+)'", again.stdout, re.MULTILINE) == ["source", "suite"]
    assert (directory / "dvc.lock").read_bytes() == lock


def test_dvc_shows_metrics_and_plots(demo):
    directory, _ = demo
    shown = run(["dvc", "metrics", "show", "--json"], directory)
    accuracy = json.loads(shown.stdout)[""]["data"]["reports/metrics.json"]["data"]["accuracy"]
    assert accuracy > 0.9
    plots = run(["dvc", "plots", "show", "--out", str(directory / "plots")], directory)
    assert plots.returncode == 0, plots.stderr
    page = (directory / "plots/index.html").read_text()
    for title in ("confusion", "ROC curve", "precision and recall", "calibration"):
        assert title in page


def test_served_equals_evaluated(demo):
    """Probabilities over HTTP equal those of evaluate to the bit on 1,000 test reviews."""
    directory, _ = demo
    evaluated = pd.read_parquet(directory / "reports/predictions.parquet").iloc[:1000]
    http, grpc = free_port(), free_port()
    command = ["make", "serve", f"HTTP_PORT={http}", f"GRPC_PORT={grpc}", "-o", ".venv/installed"]
    address = f"http://127.0.0.1:{http}/v1/models/sentiment"
    recipe = run([*command, "--dry-run"], directory).stdout.splitlines()[-1]  # after the kernel's
    command = [sys.executable, *recipe.split()[1:], "--model_uri", "models:/sentiment@champion"]
    served = []
    with running(command, address, directory, **environment(directory.parent / "home")):
        for at in range(0, 1000, 50):
            texts = evaluated["text"].iloc[at : at + 50].tolist()
            body = json.dumps({"instances": texts}).encode()
            with urllib.request.urlopen(f"{address}:predict", body) as response:
                served += [row["probability"] for row in json.load(response)["predictions"]]
                assert response.headers["x-model-version"] == "1"
    assert served == evaluated["probability"].tolist()


def test_a_killed_clone_gets_the_same_digits(demo, tmp_path):
    first, _ = demo
    second = clone(tmp_path / "project")
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=second,
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (second / "data/matrix").exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(5)  # until the search runs
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (second / "reports/metrics.json").exists()
    result = run(["dvc", "repro"], second)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("reports/metrics.json", "models/sentiment/model.skops", "dvc.lock"):
        assert (second / name).read_bytes() == (first / name).read_bytes(), name
