"""Stages that are killed, and stages on a full disk."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

import sentiment.store
from components.io import records, registry
from components.io.registry import Registered
from components.verdict import GateVerdict
from tests.conftest import REPO, Trained, assert_one_line


def arguments(trained: Trained, out: Path) -> dict[str, list[str]]:
    """Return the arguments of each stage, with its outputs in ``out``."""
    stages = {
        "ingest": ["--source", "builtin", "--output", out / "reviews.parquet"],
        "validate": ["--reviews", trained.reviews, "--report", out / "validation.json"],
        "prepare": [
            *("--reviews", trained.reviews, "--train", out / "train", "--shard-rows", "500"),
            *("--valid", out / "valid", "--test", out / "test"),
        ],
        "count": ["--train", trained.train, "--valid", trained.valid, "--counts", out / "counts"],
        "merge": ["--counts", trained.counts, "--matrix", out / "matrix"],
        "trial": [
            *("--matrix", trained.matrix, "--candidates", "default", "max_n=1"),
            *("--trials", out / "trials"),
        ],
        "select": ["--trials", trained.trials, "--selection", out / "selection.json"],
        "train": [
            *("--matrix", trained.matrix, "--selections", trained.selection),
            *("--model", out / "model"),
        ],
        "evaluate": [
            *("--model", trained.model, "--test", trained.test, "--metrics", out / "metrics.json"),
            *("--predictions", out / "predictions.parquet", "--plots", out / "plots"),
            *("--findings", out / "findings.json", "--train", trained.train),
        ],
        "register": [
            *trained.registration()[:-1],
            *(out / "card.md", "--registered", out / "registered.json"),
        ],
        "gate": [
            *("--registered", out / "registered.json", "--test", trained.test),
            *("--verdict", out / "verdict.json", "--min-accuracy", "0.5"),
        ],
        "promote": [
            *("--verdict", out / "verdict.json", "--promotion", out / "promotion.json"),
        ],
    }
    return {stage: list(map(str, values)) for stage, values in stages.items()}


def assert_complete(out: Path) -> None:
    """Assert that each file with a final name is complete."""
    for path in out.rglob("*"):
        if path.is_dir() or ".partial" in str(path) or ".old" in str(path):
            continue
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".csv":
            pd.read_csv(path)
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
        elif path.suffix == ".skops":
            sentiment.store.load(path.parent)
        else:
            raise AssertionError(f"unknown kind of file: {path}")


def orphans(out: Path) -> list[psutil.Process]:
    """Return the processes of a killed stage that still run five seconds later."""
    children = [each for each in psutil.process_iter() if str(out) in " ".join(_command(each))]
    return psutil.wait_procs(children, timeout=5)[1]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # the process has ended
        return []


LOCAL = [
    *("ingest", "validate", "prepare", "count", "merge", "trial", "select", "train", "evaluate"),
]


@pytest.mark.parametrize("stage", LOCAL)
def test_killed_stage_leaves_no_partial_output(stage, trained, tmp_path):
    command = [sys.executable, "-m", f"components.{stage}", *arguments(trained, tmp_path)[stage]]
    started = time.monotonic()
    subprocess.run(command, cwd=REPO, check=True, capture_output=True)
    duration = time.monotonic() - started
    names = sorted(path.name for path in tmp_path.iterdir())
    for at in random.Random(0).choices(range(40, 100), k=4):
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.DEVNULL)
        time.sleep(duration * at / 100)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_complete(tmp_path)
        assert not orphans(tmp_path)
        subprocess.run(command, cwd=REPO, check=True, capture_output=True)
        assert_complete(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_killed_registration_can_be_repeated(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.chdir(tmp_path)
    for stage in ("register", "gate", "promote"):
        command = [sys.executable, "-m", f"components.{stage}"]
        command += arguments(trained, tmp_path)[stage]
        environment = os.environ | {"PYTHONPATH": str(REPO)}
        for seconds in (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0):
            process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
        for _ in range(2):
            subprocess.run(command, env=environment, check=True, capture_output=True)
    with registry.connected() as client:
        versions = client.search_model_versions("name = 'sentiment'")
        assert [str(version.version) for version in versions] == ["1"]
        assert sentiment.store.digest(
            registry.download(client, versions[0], tmp_path / "there")
        ) == sentiment.store.digest(trained.model)
        champion = registry.alias_version(client, "sentiment", "champion")
        assert champion is not None
        moves = registry.moves(client, "sentiment")
        assert {(move.before, move.after) for move in moves} == {("none", "1")}


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 256 KiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs permission to mount a tmpfs")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("name", [*LOCAL, "register", "gate", "promote"])
def test_full_disk_is_one_line_and_loses_no_file(
    stage, trained, small_disk, tmp_path, name, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk}/registry.db")
    keep = small_disk / "keep.json"
    keep.write_text('{"kept": true}\n')
    with (
        (small_disk / "filler").open("wb", buffering=0) as filler,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            filler.write(b"x" * 4096)
    flags = arguments(trained, small_disk)[name]
    if name in ("gate", "promote"):
        flag = {"gate": "--registered", "promote": "--verdict"}[name]
        before = tmp_path / "before.json"
        digests = Registered("sentiment", "1", "0", "0", "0")
        verdict = GateVerdict("sentiment", "1", "none", "passed", True, "for a test", {})
        records.write(before, {"gate": digests, "promote": verdict}[name])
        flags[flags.index(flag) + 1] = str(before)
    assert_one_line(stage(name, *flags), str(small_disk))
    assert keep.read_text() == '{"kept": true}\n'
    (small_disk / "filler").unlink()
    names = {path.name for path in small_disk.rglob("*") if path.is_file()}
    assert names - {"registry.db"} == {"keep.json"}
