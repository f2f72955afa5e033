"""Check the AWS templates and the rendered manifests with checkov, from its own environment."""

import argparse
import shutil
import tempfile
from pathlib import Path

from components import cli
from tools.commands import output, run

CHECKOV = ".checkov/bin/checkov"
MANIFESTS = Path("manifests")
FOLDERS = (
    *("overlays/local", "overlays/staging", "overlays/production"),
    *("monitoring/operator", "monitoring/plain", "monitoring/receiver", "monitoring/github"),
)


def check() -> None:
    """Check all files.

    Raises:
        UserError: checkov found something, or a folder cannot be rendered.
    """
    flags = ("--quiet", "--compact", "--framework", "cloudformation")
    run(CHECKOV, "--skip-download", *flags, "--directory", str(MANIFESTS / "aws"))
    if not shutil.which("kubectl"):
        print("kubectl is not installed: the manifests are not checked")
        return
    with tempfile.TemporaryDirectory() as directory:
        for folder in FOLDERS:
            rendered = output("kubectl", "kustomize", str(MANIFESTS / folder))
            Path(directory, f"{Path(folder).name}.yaml").write_text(rendered)
        config = str(MANIFESTS / ".checkov.yaml")
        run(CHECKOV, "--config-file", config, "--directory", directory)


def main(argv: list[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m tools.checkov", description=__doc__).parse_args(argv)
    return cli.run("checkov", check)


if __name__ == "__main__":
    raise SystemExit(main())
