"""One file .env, read the same by make, a shell and kubectl; and nothing of it is ever printed."""

import base64
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest
import yaml

from tests.conftest import REPO
from tests.manifests import kubectl

SECRET = "aZ09_./:@%+,=-x"
GOOD = f"""# not this one's $x, nor its "quote
MLFLOW_TRACKING_URI=https://user:p@ss@dagshub.com/OWNER/NAME.mlflow
MLFLOW_TRACKING_PASSWORD={SECRET}

DVC_TOKEN==x=
DVC_REMOTE=
"""
VALUES = {
    "MLFLOW_TRACKING_URI": "https://user:p@ss@dagshub.com/OWNER/NAME.mlflow",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "DVC_TOKEN": "=x=",
    "DVC_REMOTE": "",
}
# a target that reads the file, and one that does not, saying what they were given
SHOW = "include Makefile\n.PHONY: pull demo\npull demo: ; @env\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "setup.cfg", "Dockerfile.train"):
        shutil.copy(REPO / name, tmp_path / name)
    shutil.copytree(REPO / "tools", tmp_path / "tools")
    (tmp_path / "show.mk").write_text(SHOW)
    (tmp_path / ".env").write_text(GOOD)
    return tmp_path


def run(directory: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    alien = ("MAKE", "MFLAGS", "MLFLOW_", "DVC_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(alien)}
    return subprocess.run(
        command, cwd=directory, env=kept | environment, capture_output=True, text=True, timeout=60
    )


def shown(output: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in output.splitlines())
    return {key: value for key, _, value in pairs if key in VALUES}


def make(directory: Path, *words: str, **environment: str) -> dict[str, str]:
    result = run(directory, "make", "-f", "show.mk", *words, "-o", ".venv/installed", **environment)
    assert result.returncode == 0, result.stderr
    return shown(result.stdout)


def test_make_a_shell_and_kubectl_read_the_same(project):
    assert make(project, "pull") == VALUES
    result = run(project, "sh", "-c", "set -a; . ./.env; set +a; env")
    assert shown(result.stdout) == VALUES
    printed = kubectl(
        *("create", "secret", "generic", "capstone-secret", "--from-env-file", project / ".env"),
        *("--dry-run=client", "--output=yaml"),
    )
    data = yaml.safe_load(printed)["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == VALUES


def test_what_is_said_already_wins(project):
    found = make(project, "pull", "DVC_REMOTE=s3://mine", MLFLOW_TRACKING_PASSWORD="other")
    assert found == VALUES | {"DVC_REMOTE": "s3://mine", "MLFLOW_TRACKING_PASSWORD": "other"}


def test_what_asks_no_server_does_not_get_it(project):
    assert make(project, "demo") == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NEW=with hidden space", "line 7 (NEW)"),
        ("NEW=hidden#", "line 7 (NEW)"),
        ("NEW=$hidden", "line 7 (NEW)"),
        ("NEW='hidden'", "line 7 (NEW)"),
        ("NEW=hidden\\", "line 7 (NEW)"),
        ("NEW=~hidden", "line 7 (NEW)"),
        ("NEW=hidden\r", "line 7 (NEW)"),
        ("NEW=hidden---", "line 7 (NEW)"),
        ("export NEW=hidden", "line 7 (NEW)"),
        ("NEW =hidden", "line 7 (NEW)"),
        ("hidden", "line 7"),
        ("DVC_TOKEN=hidden", "line 7 (DVC_TOKEN)"),
        ("A=`hidden`\nB=2\nC=hid;den", "line 7 (A), line 9 (C)"),
    ],
)
def test_a_line_that_would_be_read_in_two_ways_is_refused(project, line: str, said: str):
    with (project / ".env").open("a", newline="") as file:
        file.write(f"{line}\n")
    result = run(project, "make", "--dry-run", "pull")
    assert result.returncode == 2
    assert f".env: {said}: not NAME=VALUE" in result.stderr
    assert "hid" not in result.stdout + result.stderr
    assert run(project, "make", "help").returncode == 0


def test_make_says_no_value(project):
    for target in ("retrain", "pull", "release"):
        arguments = ("--dry-run", "--trace", "-o", ".venv/installed")
        result = run(project, "make", *arguments, target)
        assert result.returncode == 0, result.stderr
        assert "dvc" in result.stdout
        assert not [each for each in VALUES.values() if each and each in result.stdout]


def test_the_example_has_every_name_and_no_value():
    lines = (REPO / ".env.example").read_text().splitlines()
    names = {line for line in lines if line and not line.startswith("#")}
    text = (REPO / ".github/workflows/retrain.yml").read_text()
    asked = {*re.findall(r"(?:vars|secrets)\.((?:MLFLOW|DVC)_[A-Z_]+)", text)}
    assert names == {f"{each}=" for each in asked}
    commented = [before.startswith("#") for before in lines]
    assert all(commented[lines.index(name) - 1] for name in names)
    result = subprocess.run(["git", "check-ignore", ".env"], cwd=REPO, capture_output=True)
    assert result.returncode == 0


def test_names_with_a_value_to_hide_are_secrets_on_github():
    """What docs/dagshub.md splits by; `vars` can be read by whoever may write to the repository."""
    (pattern,) = {
        shlex.split(line)[2]
        for line in (REPO / "docs/dagshub.md").read_text().splitlines()
        if line.startswith("grep -E ")
    }
    for path in (REPO / ".github/workflows").glob("*.yml"):
        for kind, name in re.findall(r"(vars|secrets)\.((?:MLFLOW|DVC)_[A-Z_]+)", path.read_text()):
            assert (kind == "secrets") == bool(re.search(pattern, f"{name}=x")), name


def test_boto_asks_dagshub_for_the_bucket_in_the_path():
    """Not at dvc.dagshub.com, as it would Amazon."""
    client = boto3.client(
        "s3",
        endpoint_url="https://dagshub.com/OWNER/NAME.s3",
        region_name="us-east-1",
        aws_access_key_id="token",
        aws_secret_access_key="token",
    )
    url = client.generate_presigned_url("get_object", {"Bucket": "dvc", "Key": "files/md5/00/1"})
    assert url.startswith("https://dagshub.com/OWNER/NAME.s3/dvc/files/md5/00/1?")
