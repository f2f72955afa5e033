"""Serve MLflow's web interface of the registry in this folder, ``mlflow.db``."""

import argparse
import os
import sys
from pathlib import Path

from components import cli
from components.errors import UserError
from components.io.addresses import LOCAL_URI
from components.io.processes import MLFLOW_WITHOUT_JOBS
from components.io.relocation import relocate

DATABASE = Path(LOCAL_URI.removeprefix("sqlite:///"))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.mlflow_server", description=__doc__)
    parser.add_argument("--port", type=cli.port, default=5000, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        if not DATABASE.exists():  # MLflow would make an empty one
            raise UserError(f"no registry at {DATABASE}; train first: make train")
        relocate(DATABASE)
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", LOCAL_URI]
        command += ["--host", "127.0.0.1", "--port", str(args.port), "--workers", "1"]
        environment = os.environ | MLFLOW_WITHOUT_JOBS
        os.execve(sys.executable, command, environment)  # noqa: S606 - so that signals reach it

    return cli.run("mlflow", work)


if __name__ == "__main__":
    raise SystemExit(main())
