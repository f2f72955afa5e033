"""Write every file that follows from the alert rules and from their limits in params.yaml.

The limits are the section monitor and gate.min_accuracy. The files are, in manifests/monitoring,
the thresholds in config/rules.yml, the objects of the Prometheus operator and the dashboards; and
the compiled pipelines, whose defaults are the limits.
"""

import argparse
from pathlib import Path

from components import cli
from monitoring import operator
from monitoring.dashboards import __main__ as dashboards
from monitoring.settings import MANIFESTS, PARAMS, ROOT, drift_limits, min_accuracy
from pipelines.compile import compile_to
from pipelines.ir import COMPILED


def generate(root: Path) -> None:
    """Write the files to their places under ``root``."""
    max_psi, floor = drift_limits(ROOT / PARAMS).max_psi, min_accuracy(ROOT / PARAMS)
    manifests = root / MANIFESTS.relative_to(ROOT)
    operator.write(manifests, max_psi, floor)
    dashboards.write(manifests / "dashboards", max_psi, floor)
    compile_to(root / COMPILED.relative_to(ROOT))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.generate", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT, help="default: this repository")
    args = parser.parse_args(argv)
    return cli.run("generate", lambda: generate(args.output))


if __name__ == "__main__":
    raise SystemExit(main())
