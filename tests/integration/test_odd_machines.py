"""Counting without semaphores, with a killed worker and with Ctrl-C; stages of an unknown user."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from components.io import reviews
from tests.conftest import REPO, assert_one_line
from tests.serving import wait_until

# an unknown user without a home, who can read this checkout
UNKNOWN = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
UNKNOWN += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
UNKNOWN += ["env", "--unset=HOME", "--unset=USER", "--unset=LOGNAME"]


def count(splits: Path, counts: Path) -> list[str]:
    command = [sys.executable, "-m", "components.count", "--counts", str(counts)]
    return [*command, "--train", str(splits / "train"), "--valid", str(splits / "valid")]


@pytest.fixture
def mounts() -> list[str]:
    """The start of a command of shell that has mounts of its own."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs permission for a namespace")
    return ["unshare", "--mount", "sh", "-c"]


@pytest.mark.parametrize(
    ("options", "reason"), [("size=4k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_count_needs_no_shared_memory(tmp_path, mounts, options, reason):
    for split in ("train", "valid"):
        table = pd.DataFrame({"text": ["good", "bad"], "label": [1, 0], "source": "test"})
        reviews.write(tmp_path / split / "00000.parquet", table)
    fill = f"mount -t tmpfs -o {options} tmpfs /dev/shm; echo x > /dev/shm/x;"
    result = subprocess.run(
        [*mounts, f'{fill} exec "$@"', "sh", *count(tmp_path, tmp_path / "counts")],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert f"one process: /dev/shm takes no semaphore ({reason})" in result.stderr
    names = {path.name for path in (tmp_path / "counts").iterdir()}
    assert names == {"train-00000", "valid-00000"}


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A count in a process group of its own, whose workers wait for their shards; the workers."""
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        os.mkfifo(tmp_path / split / "00000.parquet")
    command = count(tmp_path, tmp_path / "counts")
    with subprocess.Popen(
        command,
        cwd=REPO,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        # a background process of a shell ignores SIGINT, and its children would, too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        wait_until((tmp_path / ".counts.partial").exists)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text()))
        workers = [int(worker) for worker in children.read_text().split()]
        yield process, workers
        process.kill()


def test_killed_worker_is_one_line(counting, tmp_path):
    process, workers = counting
    os.kill(workers[0], signal.SIGKILL)
    output = process.communicate(timeout=60)[1]
    result = subprocess.CompletedProcess([], process.returncode, "", output)
    assert_one_line(result, "a worker process was killed", "lack of memory", "shard_rows")
    assert not [path for path in tmp_path.iterdir() if "counts" in path.name]


def test_interrupted_count_is_one_line(counting, tmp_path):
    process, workers = counting
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "count: interrupted\n"
    assert process.returncode == 130
    assert not [path for path in tmp_path.iterdir() if "counts" in path.name]
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


@pytest.mark.parametrize(("what", "output"), [("SIGINT", "interrupted\n"), ("0 / 0", None)])
def test_ctrl_c_in_an_import_is_one_line(what, output):
    failing = f"os.kill(os.getpid(), signal.{what}); time.sleep(60)" if output else what
    program = "import components, os, signal, time\n"
    program += f"signal.signal(signal.SIGINT, signal.default_int_handler)\n{failing}"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert result.returncode
    assert output is None or result.stderr == output
    assert ("Traceback" in result.stderr) is (output is None)


@pytest.fixture(scope="module")
def unknown() -> Iterator[Path]:
    """A folder that the unknown user may write to."""
    if subprocess.run([*UNKNOWN, "true"], capture_output=True).returncode:
        pytest.skip("needs permission to change the user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


@pytest.mark.parametrize(
    ("module", "flags", "exit_code"),
    [
        ("components.promote", ["--history"], 1),  # there is no registry
        ("deploy", ["--help"], 0),
        ("monitoring.exporter", ["--help"], 0),
        ("serving", ["--model_uri", "models:/sentiment@champion"], 1),
    ],
)
def test_unknown_user_needs_no_home(unknown, module, flags, exit_code):
    result = subprocess.run(
        [*UNKNOWN, sys.executable, "-m", module, *flags],
        cwd=unknown,
        env=os.environ | {"PYTHONPATH": str(REPO), "MLFLOW_TRACKING_URI": "sqlite:///new.db"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_user_has_a_name(unknown):
    """DVC, which the commands start, asks for the user's name."""
    program = "import components, getpass; print(getpass.getuser())"
    command = [*UNKNOWN, sys.executable, "-c", program]
    output = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert output.stdout == "uid 12345\n"
