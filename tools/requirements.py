"""Lock the packages of setup.cfg in requirements/, with hashes.

A version that a lock has, and that still fits, stays. The extra dev comes first: the other locks
take their versions from it, so that tests and images run the same packages.
"""

import argparse
import re
from pathlib import Path

from components import cli
from components.io.files import replacing
from tools.commands import run

LOCKS = Path("requirements")
EXTRAS = ("train", "serve", "traces", "pipeline", "sbom", "bench")
APART = ("checkov", "site", "storage")  # in environments of their own
PEERS = Path("benchmarks/serving/requirements")
MODEL = r"^(?:joblib|numpy|scikit-learn|scipy|skops)==\S+"  # what loads it with skops


def lock(upgrade: bool) -> None:
    compile_lock("setup.cfg", LOCKS / "dev.txt", upgrade, "--extra=dev")
    constraint = f"--constraints={LOCKS / 'dev.txt'}"
    for extra in EXTRAS:
        compile_lock("setup.cfg", LOCKS / f"{extra}.txt", upgrade, f"--extra={extra}", constraint)
    compile_lock(str(LOCKS / "kernel.in"), LOCKS / "kernel.txt", upgrade, constraint)
    for name in APART:
        compile_lock(str(LOCKS / f"{name}.in"), LOCKS / f"{name}.txt", upgrade)
    pins = re.findall(MODEL, (LOCKS / "train.txt").read_text(), re.MULTILINE)
    with replacing(PEERS / "model.in") as partial:
        partial.write_text("\n".join([*pins, ""]))
    for path in sorted(PEERS.glob("*.in")):
        if path.stem != "model":
            compile_lock(str(path), path.with_suffix(".txt"), upgrade)


def compile_lock(source: str, target: Path, upgrade: bool, *arguments: str) -> None:
    run(
        *("uv", "pip", "compile", source, f"--output-file={target}", *arguments),
        *("--python-version=3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"),
        *("--quiet", *(["--upgrade"] if upgrade else [])),
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.requirements", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    args = parser.parse_args(argv)
    return cli.run("requirements", lambda: lock(args.upgrade))


if __name__ == "__main__":
    raise SystemExit(main())
