"""Write every file that follows from the drift limits of params.yaml and from the alert rules.

These are, in manifests/monitoring, the drift threshold in config/rules.yml, the objects of the
Prometheus operator and the dashboards; and the compiled pipelines, whose defaults are the limits.
"""

import argparse
from pathlib import Path

from components import cli
from monitoring import operator
from monitoring.dashboards import __main__ as dashboards
from monitoring.settings import MANIFESTS, PARAMS, ROOT, drift_limits
from pipelines.compile import compile_to
from pipelines.ir import COMPILED


def generate(root: Path) -> None:
    """Write the files to their places under ``root``."""
    max_psi = drift_limits(ROOT / PARAMS).max_psi
    manifests = root / MANIFESTS.relative_to(ROOT)
    operator.write(manifests, max_psi)
    dashboards.write(manifests / "dashboards", max_psi)
    compile_to(root / COMPILED.relative_to(ROOT))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.generate", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT, help="default: this repository")
    args = parser.parse_args(argv)
    return cli.run("generate", lambda: generate(args.output))


if __name__ == "__main__":
    raise SystemExit(main())
