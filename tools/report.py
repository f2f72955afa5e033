"""Report what changed in metrics, parameters and plots since a commit, as reports/report.md."""

import argparse
from pathlib import Path

from components import cli
from components.io.files import replacing
from tools.commands import output, run

REPORT = Path("reports/report.md")
PLOTS = Path("reports/diff")


def report(base: str) -> None:
    """Write the report against a commit and print it; the plots go beside it."""
    tables = (output("dvc", kind, "diff", "--md", base) for kind in ("metrics", "params"))
    text = f"### Against {base}\n{''.join(tables)}"
    run("dvc", "plots", "diff", "--out", str(PLOTS), base)
    with replacing(REPORT) as partial:
        partial.write_text(text)
    print(text, end="")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.report", description=__doc__)
    parser.add_argument("--base", metavar="REF", default="origin/main", help="%(default)s")
    args = parser.parse_args(argv)
    return cli.run("report", lambda: report(args.base))


if __name__ == "__main__":
    raise SystemExit(main())
