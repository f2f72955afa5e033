"""Compile the kernel beside its sources, with Zig's C compiler from PyPI or else with cc.

Without the kernel, NumPy computes the same bits, more slowly.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sentiment.kernel.library import LIBRARY, SOURCES, source_digest

# without contraction, a*b + c rounds twice, as in NumPy and on every processor
FLAGS = ("-std=c11", "-O2", "-fPIC", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")


def compiler() -> list[str] | None:
    """Return the command of a C compiler, None if there is none."""
    if importlib.util.find_spec("ziglang"):
        # code for any processor of the architecture, not only for the one that compiles it
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
    return [cc] if (cc := shutil.which("cc")) else None


def build(command: Sequence[str], target: Path) -> None:
    """Compile the kernel to ``target``, which is complete or as it was before.

    Raises:
        CalledProcessError: the compiler fails; it has printed why.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        files = [*(str(path) for path in SOURCES if path.suffix == ".c"), "-lm"]
        caches = {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}
        subprocess.run(
            [
                *command,
                *FLAGS,
                f'-DSOURCE_DIGEST="{source_digest()}"',
                "-shared",
                "-o",
                made,
                *files,
            ],
            check=True,
            env=os.environ | caches,
        )
        made.replace(target)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sentiment.kernel.build", description=__doc__)
    parser.parse_args(argv)
    command = compiler()
    if command is None:
        print("kernel: error: no C compiler; pip install ziglang, or install cc", file=sys.stderr)
        return 1
    try:
        build(command, LIBRARY)
    except subprocess.CalledProcessError as error:
        print(f"kernel: error: {command[0]} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
