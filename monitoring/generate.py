"""Write all generated files of manifests/monitoring: run this after a change of their sources.

The drift threshold of params.yaml (monitor.max_psi) goes into the alert rules and the dashboard of
the model, rules and routes of config/ into the Prometheus operator's objects.
"""

import argparse
from pathlib import Path

from components import cli
from monitoring import operator
from monitoring.dashboards import __main__ as dashboards
from monitoring.settings import MANIFESTS, PARAMS, ROOT, drift_limits


def generate(folder: Path) -> None:
    max_psi = drift_limits(ROOT / PARAMS).max_psi
    operator.write(folder, max_psi)
    dashboards.write(folder / "dashboards", max_psi)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.generate", description=__doc__)
    parser.parse_args(argv)
    return cli.run("generate", lambda: generate(MANIFESTS))


if __name__ == "__main__":
    raise SystemExit(main())
