"""monitoring.retrain: the exit code of a failed stage, run by real DVC, says whose fault it is."""

import subprocess
import sys

import pytest
import yaml

from components.errors import UnavailableError, UserError
from monitoring import retrain
from monitoring.settings import DriftLimits
from tests.conftest import REPO, assert_one_line


@pytest.mark.parametrize(("code", "error"), [(1, UserError), (4, UnavailableError)])
def test_failed_stage_of_dvc_keeps_its_fault(tmp_path, monkeypatch, capsys, code, error):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], check=True)
    command = f'{sys.executable} -c "import sys; print(7, file=sys.stderr); sys.exit({code})"'
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"ingest": {"cmd": command}}}))
    with pytest.raises(error, match=f"dvc repro … failed with exit code {code}; "):
        retrain.run(["dvc", "repro"])
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
    assert_one_line(result, "params.yaml: No such file or directory")


def test_flag_overrides_one_limit_of_params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    limits = {"max_psi": 0.3, "min_rows": 20, "newest": 5}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"monitor": limits}))
    args = retrain.parser().parse_args(["--captured", "captured", "--newest", "9"])
    assert retrain.limits(args) == DriftLimits(max_psi=0.3, min_rows=20, newest=9)
