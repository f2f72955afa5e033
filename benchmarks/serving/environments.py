"""Create virtual environments for servers whose packages conflict with ours."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.serving.server import UnfitError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".benchmarks"


def python(peer: str | None) -> str:
    """Return the interpreter with the packages of ``peer``; install them at the first call.

    Raises:
        UnfitError: the packages cannot be installed.
    """
    if peer is None:
        return sys.executable
    lock = HERE / "requirements" / f"{peer}.txt"
    directory = CACHE / peer
    interpreter, installed = directory / "bin" / "python", directory / "installed.txt"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        _uv("venv", "--clear", "--python", sys.executable, directory)
        _uv("pip", "install", "--no-deps", "--require-hashes", "-r", lock, "--python", interpreter)
        installed.write_bytes(lock.read_bytes())
    return str(interpreter)


def _uv(*arguments: str | os.PathLike[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments], capture_output=True, text=True
    )
    if result.returncode:
        reason = result.stderr.strip().replace("\n", " ")[-300:]
        raise UnfitError(f"not installed: {reason}")
