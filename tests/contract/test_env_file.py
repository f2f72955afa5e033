"""make, a shell and kubectl read .env alike, and none of them prints a value of it."""

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
# a target that reads the file and one that does not; both print their environment
SHOW = "include Makefile\n.PHONY: pull demo\npull demo: ; @env\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "setup.cfg"):
        shutil.copy(REPO / name, tmp_path / name)
    for name in ("tools", "sentiment"):
        shutil.copytree(REPO / name, tmp_path / name)
    (tmp_path / "show.mk").write_text(SHOW)
    (tmp_path / ".env").write_text(GOOD)
    return tmp_path


def run(directory: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    dropped = ("MAKE", "MFLAGS", "MLFLOW_", "DVC_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return subprocess.run(
        command, cwd=directory, env=kept | environment, capture_output=True, text=True, timeout=60
    )


def values_in(output: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in output.splitlines())
    return {key: value for key, _, value in pairs if key in VALUES}


def make(directory: Path, *words: str, **environment: str) -> dict[str, str]:
    result = run(directory, "make", "-f", "show.mk", *words, "-o", ".venv/installed", **environment)
    assert result.returncode == 0, result.stderr
    return values_in(result.stdout)


def test_make_and_a_shell_read_the_same(project):
    assert make(project, "pull") == VALUES
    result = run(project, "sh", "-c", "set -a; . ./.env; set +a; env")
    assert values_in(result.stdout) == VALUES


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")
def test_kubectl_reads_the_same(project):
    printed = kubectl(
        *("create", "secret", "generic", "capstone-secret", "--from-env-file", project / ".env"),
        *("--dry-run=client", "--output=yaml"),
    )
    data = yaml.safe_load(printed)["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == VALUES


def test_a_variable_overrides_the_file(project):
    values = make(project, "pull", "DVC_REMOTE=s3://mine", MLFLOW_TRACKING_PASSWORD="other")
    assert values == VALUES | {"DVC_REMOTE": "s3://mine", "MLFLOW_TRACKING_PASSWORD": "other"}


def test_a_local_target_ignores_the_file(project):
    assert make(project, "demo") == {}


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("NEW=with hidden space", "line 7 (NEW)"),
        ("NEW=hidden#", "line 7 (NEW)"),
        ("NEW=$hidden", "line 7 (NEW)"),
        ("NEW='hidden'", "line 7 (NEW)"),
        ("NEW=hidden\\", "line 7 (NEW)"),
        ("NEW=~hidden", "line 7 (NEW)"),
        ("NEW=hidden---", "line 7 (NEW)"),
        ("export NEW=hidden", "line 7 (NEW)"),
        ("NEW =hidden", "line 7 (NEW)"),
        ("hidden", "line 7"),
        ("DVC_TOKEN=hidden", "line 7 (DVC_TOKEN)"),
        ("A=`hidden`\nB=2\nC=hid;den", "line 7 (A), line 9 (C)"),
    ],
)
def test_an_ambiguous_line_is_refused(project, line: str, place: str):
    with (project / ".env").open("a", newline="") as file:
        file.write(f"{line}\n")
    result = run(project, "make", "--dry-run", "pull")
    assert result.returncode == 2
    assert f".env: {place}: not NAME=VALUE" in result.stderr
    assert "hid" not in result.stdout + result.stderr
    assert run(project, "make", "help").returncode == 0


def test_crlf_is_named(project):
    (project / ".env").write_text(GOOD.replace("\n", "\r\n"), newline="")
    result = run(project, "make", "--dry-run", "pull")
    assert result.returncode == 2
    assert (
        ".env: its lines end in CRLF, as on Windows; run: sed -i 's/\\r$//' .env" in result.stderr
    )
    subprocess.run(["sed", "-i", r"s/\r$//", ".env"], cwd=project, check=True)
    assert make(project, "pull") == VALUES


def test_make_prints_no_value(project):
    for target in ("retrain", "pull", "release"):
        arguments = ("--dry-run", "--trace", "-o", ".venv/installed")
        result = run(project, "make", *arguments, target)
        assert result.returncode == 0, result.stderr
        assert "python -m tools." in result.stdout
        assert not [value for value in VALUES.values() if value and value in result.stdout]


def test_the_example_has_names_only():
    lines = (REPO / ".env.example").read_text().splitlines()
    names = {line for line in lines if line and not line.startswith("#")}
    text = (REPO / ".github/workflows/retrain.yml").read_text()
    used = {*re.findall(r"(?:vars|secrets)\.((?:MLFLOW|DVC|SOURCE)_[A-Z_]+)", text)}
    assert names == {f"{name}=" for name in used}
    commented = [before.startswith("#") for before in lines]
    assert all(commented[lines.index(name) - 1] for name in names)
    result = subprocess.run(["git", "check-ignore", ".env"], cwd=REPO, capture_output=True)
    assert result.returncode == 0


def test_hidden_values_are_secrets_on_github():
    """docs/dagshub.md splits by this pattern; every writer of the repository can read `vars`."""
    (pattern,) = {
        shlex.split(line)[2]
        for line in (REPO / "docs/dagshub.md").read_text().splitlines()
        if line.startswith("grep -E ")
    }
    for path in (REPO / ".github/workflows").glob("*.yml"):
        for kind, name in re.findall(
            r"(vars|secrets)\.((?:MLFLOW|DVC|SOURCE)_[A-Z_]+)", path.read_text()
        ):
            assert (kind == "secrets") == bool(re.search(pattern, f"{name}=x")), name


def test_boto_puts_dagshubs_bucket_in_the_path():
    """At Amazon the bucket is part of the host name: dvc.dagshub.com does not exist."""
    client = boto3.client(
        "s3",
        endpoint_url="https://dagshub.com/OWNER/NAME.s3",
        region_name="us-east-1",
        aws_access_key_id="token",
        aws_secret_access_key="token",
    )
    url = client.generate_presigned_url("get_object", {"Bucket": "dvc", "Key": "files/md5/00/1"})
    assert url.startswith("https://dagshub.com/OWNER/NAME.s3/dvc/files/md5/00/1?")
