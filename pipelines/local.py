"""Run a compiled pipeline here, each task in a container, against MLflow and S3 on this machine.

Everything is kept in one directory, so that the next run finds the champion of the last.
"""

import argparse
import logging
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import docker
import kfp.components
import kfp.local

from components import cli
from components.errors import UserError
from components.io import processes
from components.io.files import read_json
from pipelines import containers, ir

UPLOADED = ("source", "captured")  # parameters that may name a file of this machine


def run(
    documents: ir.Documents, values: dict[str, Any], directory: Path, environment: dict[str, str]
) -> Path:
    """Run the pipeline and return the directory of its artifacts.

    Raises:
        UserError: a task failed, or a condition could not be evaluated.
    """
    artifacts = directory / "runs"
    artifacts.mkdir(exist_ok=True)
    before = set(artifacts.iterdir())
    runner = containers.runner(directory, artifacts, environment)
    kfp.local.init(runner, pipeline_root=str(artifacts))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        pipeline = kfp.components.load_component_from_file(str(path))
    unresolved: list[str] = []

    def follow(record: logging.LogRecord) -> bool:
        """Leave out the listing of outputs; keep what kfp warns of and then takes for false."""
        message = record.getMessage()
        if "ould not resolve" in message or "ondition evaluation failed" in message:
            unresolved.append(message)
        return " outputs:" not in message

    logging.getLogger().addFilter(follow)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Task .* settings .* have no effect")  # limits, names
            pipeline(**values)
    except RuntimeError as error:
        said = re.sub(r"\x1b\[\d+m", "", str(error))  # its colours
        task = re.search(r"Inner task failed: '([\w-]+)'", said)
        raise UserError(f"task {task[1]} failed; see above" if task else said) from error
    finally:
        logging.getLogger().removeFilter(follow)
    if unresolved:
        raise UserError(f"a condition was not evaluated: {unresolved[0]}")
    (made,) = set(artifacts.iterdir()) - before
    return made


def _check_images(client: docker.DockerClient, documents: ir.Documents) -> None:
    for image in ir.images(documents):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound as error:
            message = f"--image {image}: no such image here; make images builds it"
            raise UserError(message) from error


def _uploaded(values: dict[str, Any], storage: dict[str, str]) -> dict[str, Any]:
    """Bring files of this machine to S3, where a container can read them."""
    given = dict(values)
    for name in UPLOADED:
        path = Path(str(given.get(name, "")))
        if path.is_file():
            key = f"{name}/{path.name}"
            processes.s3_client(storage).upload_file(str(path), "inputs", key)
            given[name] = f"s3://inputs/{key}"
    return given


def _summary(made: Path) -> None:
    """Say what the run came to, by the reports that are among its artifacts."""
    lines = [f"artifacts  {made}"]
    for name, key in (("drift", "why"), ("verdict", "why"), ("promotion", "outcome")):
        lines += [f"{name:10s} {read_json(path)[key]}" for path in made.rglob(name)]
    # not by print, which kfp leaves changed when tasks ran side by side
    sys.stdout.write("\n".join(["", *lines, ""]))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.local", description=__doc__)
    parser.add_argument("--pipeline", default="training", help="default: %(default)s")
    parser.add_argument("--image", help="to run every task in; default: as compiled")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path("pipeline-local"), help="default: %(default)s"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    directory = args.directory.resolve()

    def work() -> None:
        documents = ir.load(args.pipeline, args.image)
        values = ir.parameters(documents, args.param)
        directory.mkdir(parents=True, exist_ok=True)
        with containers.engine(directory) as client:
            _check_images(client, documents)
            containers.clear(client, directory)
            with (
                processes.s3(directory / "s3") as storage,
                processes.mlflow(directory, storage) as tracking,
            ):
                made = run(documents, _uploaded(values, storage), directory, storage | tracking)
        _summary(made)

    return cli.run("pipeline-local", work)


if __name__ == "__main__":
    raise SystemExit(main())
