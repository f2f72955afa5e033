"""The body of a command line: errors as one line, fractions, and errors of files."""

import os
import subprocess
import tempfile
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import pytest

from components import cli
from components.errors import UserError
from components.io.files import read_json, replacing, replacing_directory


def test_os_error_names_its_file(tmp_path, capsys):
    assert cli.run("x", (tmp_path / "absent").read_text) == 1
    assert capsys.readouterr().err == f"x: error: {tmp_path}/absent: No such file or directory\n"


def test_lack_of_memory_is_one_line(capsys):
    assert cli.run("x", lambda: np.zeros(2**55)) == 1
    error = capsys.readouterr().err
    assert error.startswith("x: error: not enough memory: Unable to allocate 256. PiB")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "5 is not between 0 and 1; 5% is 0.05"),
        ("5%", "5% is not between 0 and 1; 5% is 0.05"),
        ("0.5%", "0.5% is not between 0 and 1; 0.5% is 0.005"),
        ("99.5", "99.5 is not between 0 and 1; 99.5% is 0.995"),
        ("0", "0 is not between 0 and 1"),
        ("-5", "-5 is not between 0 and 1"),
        ("500", "500 is not between 0 and 1"),
    ],
)
def test_percentage_is_no_fraction(text, message):
    with pytest.raises(ArgumentTypeError) as raised:
        cli.fraction(text)
    assert str(raised.value) == message


def test_fraction_is_parsed():
    assert cli.fraction("0.05") == 0.05


@pytest.mark.parametrize("kind", [replacing, replacing_directory])
def test_unreadable_input_is_not_the_output(tmp_path, kind):
    source, output = tmp_path / "source", tmp_path / "output"
    with pytest.raises(UserError, match=f"{source}: No such file"), kind(output):
        source.read_bytes()
    assert not list(tmp_path.iterdir())


def test_partial_output_has_its_final_name(tmp_path):
    output = tmp_path / "output"
    with (
        pytest.raises(UserError, match=f"^{output}/a/b: No such file"),
        replacing_directory(output) as partial,
    ):
        (partial / "a/b").write_text("")


@pytest.fixture
def full(tmp_path: Path):
    """A file system without space."""
    mount = tmp_path / "full"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs permission to mount a tmpfs")
    with pytest.raises(OSError, match="No space"):
        (mount / "filler").write_bytes(bytes(65_536))
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_full_scratch_folder_is_named(tmp_path, full, monkeypatch):
    """The output has space; what is full is the folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    scratch = os.open(full / "filler", os.O_WRONLY | os.O_APPEND)
    with (
        pytest.raises(UserError, match=f"^{full}: No space left"),
        replacing(tmp_path / "output"),
    ):
        os.write(scratch, bytes(65_536))
    os.close(scratch)


def test_full_output_folder_is_named(full):
    with pytest.raises(UserError, match=f"^{full}/x: No space left"), replacing(full / "x") as path:
        path.write_bytes(bytes(65_536))


def test_short_write_of_numpy_is_explained(full):
    (full / "filler").unlink()  # two pages, and the array needs more
    with (
        pytest.raises(UserError, match=f"^{full}/x: .* written; the disk may be full"),
        replacing_directory(full / "x") as path,
    ):
        np.save(path / "array.npy", np.zeros(65_536))


def test_missing_json_names_the_file(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/x: No such file"):
        read_json(tmp_path / "x")
