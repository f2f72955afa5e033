"""Compile the pipelines to the IR YAML that a Kubeflow Pipelines server takes."""

import argparse
import sys
from pathlib import Path

from kfp.compiler import Compiler

from components import cli
from components.io.files import replacing
from pipelines.ir import COMPILED
from pipelines.monitoring import monitoring
from pipelines.training import training

PIPELINES = {"monitoring": monitoring, "training": training}


def compile_to(directory: Path) -> list[Path]:
    """Write one file for each pipeline and return their paths."""
    paths = []
    for name, pipeline in PIPELINES.items():
        path = directory / f"{name}.yaml"
        with replacing(path) as partial:
            # the compiler tells YAML from JSON by the ending
            draft = partial.with_suffix(".yaml")
            Compiler().compile(pipeline, str(draft))
            draft.replace(partial)
        paths.append(path)
    return paths


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.compile", description=__doc__)
    parser.add_argument("--output", type=Path, default=COMPILED, help="default: %(default)s")
    output = parser.parse_args(argv).output

    def work() -> None:
        for path in compile_to(output):
            print(path, file=sys.stderr)

    return cli.run("compile", work)


if __name__ == "__main__":
    raise SystemExit(main())
