"""monitoring.retrain: the exit code of a failed stage, run by real DVC, says whose fault it is."""

import shutil
import subprocess
import sys

import pytest
import yaml

from components.errors import UnavailableError, UserError
from monitoring import retrain
from tests.conftest import REPO, free_port


@pytest.mark.parametrize(("code", "error"), [(1, UserError), (4, UnavailableError)])
def test_failed_stage_of_dvc_keeps_its_fault(tmp_path, monkeypatch, capsys, code, error):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], check=True)
    command = f'{sys.executable} -c "import sys; print(7, file=sys.stderr); sys.exit({code})"'
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"ingest": {"cmd": command}}}))
    with pytest.raises(error, match=f"dvc failed with exit code {code}; "):
        retrain.run(retrain.REPRO)
    assert "7\n" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "error"), [(1, UserError), (2, UserError), (4, UnavailableError)])
def test_failed_command_keeps_its_fault(code, error):
    with pytest.raises(error, match=f"failed with exit code {code}; its message is above"):
        retrain.run([sys.executable, "-c", f"raise SystemExit({code})"])


def test_missing_params_are_one_line(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "monitoring.retrain", "--captured", "captured"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert "retrain: running components.monitor" in result.stderr
    assert "params.yaml: No such file or directory" in result.stderr  # from the stage monitor
    assert "retrain: error: " in result.stderr
    assert result.returncode == UserError.exit_code


def test_only_limits_on_the_command_line_are_flags():
    args = retrain.parser().parse_args(["--captured", "captured", "--newest", "9"])
    assert retrain.limits(args) == ["--newest", "9"]
    command = retrain.monitor_command(args.captured, args.name, retrain.limits(args))
    assert command[3:5] == ["--params", "params.yaml"]


def test_unreachable_registry_is_unavailable(tmp_path):
    (tmp_path / "captured.jsonl").write_text('{"data": {"text": "A fine film."}}\n')
    shutil.copy(REPO / "params.yaml", tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "monitoring.retrain", "--captured", "captured.jsonl"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(REPO),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == UnavailableError.exit_code, result.stderr
    assert "monitor: error: MLflow at " in result.stderr
    assert "failed with exit code 4; its message is above" in result.stderr
