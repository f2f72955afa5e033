"""Draw the pictures of docs/architecture.md from the code that they show.

Each is a list with an arc for each dependency: the stages as DVC reads dvc.yaml, the packages by
their imports, the jobs from a push to a deployment by the workflows' own `needs`.
"""

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from components.io.files import replacing
from pipelines.arcs import Row, draw

OUTPUT = Path("docs/pictures")
WORKFLOWS = Path(".github/workflows")
PACKAGES = ("sentiment", "components", "serving", "pipelines", "deploy", "monitoring", "tools")
INPUT = re.compile(r"\$\{\{ inputs\.(\w+) \}\}")


def stages() -> list[Row]:
    """Return the stages in an order in which they can run, each with what its module says."""
    dag = subprocess.run(["dvc", "dag", "--dot"], capture_output=True, text=True, check=True).stdout
    edges = re.findall(r'^"?([\w@]+)"? -> "?([\w@]+)"?;$', dag, re.MULTILINE)
    needs: dict[str, list[str]] = {name: [] for edge in edges for name in edge}
    for before, after in edges:
        needs[after].append(before)
    order = [
        re.sub("@.*", "", name) for name in yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    ]
    rows = []
    for name in _sorted(needs, order):
        module = Path("components") / f"{name.partition('@')[0]}.py"
        rows.append(Row(name, _summary(module), tuple(needs[name])))
    return rows


def _sorted(needs: dict[str, list[str]], order: list[str]) -> list[str]:
    """Return the names, each after those that it needs, and otherwise in the order of the file."""
    left = sorted(needs, key=lambda name: (name.partition("@")[2], order.index(name.split("@")[0])))
    done: list[str] = []
    while left:
        ready = next(name for name in left if set(needs[name]) <= set(done))
        done.append(ready)
        left.remove(ready)
    return done


def packages() -> list[Row]:
    """Return the packages, each with the others that it imports, and what else it knows."""
    rows = []
    for package in PACKAGES:
        found = set().union(*map(imports, Path(package).rglob("*.py"))) - {package}
        others = sorted(found - set(PACKAGES) - sys.stdlib_module_names, key=str.lower)
        needs = tuple(each for each in PACKAGES if each in found)
        rows.append(Row(package, ", ".join(others), needs))
    return rows


def jobs() -> list[Row]:
    """Return the jobs that a push to main starts, with those of the workflows that they call."""
    rows: list[Row] = []
    ends: dict[str, list[str]] = {}  # what must have ended, for a job that needs this one
    for key, job in _jobs("retrain.yml").items():
        needs = [end for each in _list(job.get("needs")) for end in ends[each]]
        if "uses" not in job:
            rows.append(Row(key, _targets(job, {}), tuple(needs)))
            ends[key] = [key]
            continue
        inner = _jobs(Path(job["uses"]).name)
        for name, each in inner.items():
            own = [f"{key}: {need}" for need in _list(each.get("needs"))]
            said = _targets(each, job.get("with", {}))
            rows.append(Row(f"{key}: {name}", said, tuple(own or needs)))
        needed = {need for each in inner.values() for need in _list(each.get("needs"))}
        ends[key] = [f"{key}: {name}" for name in inner if name not in needed]
    return rows


def _jobs(workflow: str) -> dict[str, Any]:
    return dict(yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"])


def _list(needs: str | list[str] | None) -> list[str]:
    return [needs] if isinstance(needs, str) else needs or []


def _targets(job: dict[str, Any], given: dict[str, str]) -> str:
    steps = (step for step in job["steps"] if "ref_name != 'main'" not in step.get("if", ""))
    commands = [step["run"].removeprefix("sudo ") for step in steps if "run" in step]
    where = INPUT.sub(lambda found: given[found[1]], job.get("environment", ""))
    said = "make " + ", ".join(each.removeprefix("make ") for each in commands)
    return f"{said} (environment {where})" if where else said


def _summary(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text())) or ""
    return text.split("\n\n")[0].replace("\n", " ").rstrip(".")


def imports(module: Path) -> set[str]:
    """Return the packages of which a module imports something, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def pictures() -> dict[str, str]:
    """Return the images by the names of their files."""
    return {
        "stages.svg": draw("The stages, and which needs what another made", stages()),
        "packages.svg": draw("The packages, and which imports which", packages()),
        "jobs.svg": draw("The jobs from a push to main to a deployment", jobs()),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.pictures", description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    args = parser.parse_args(argv)
    for name, image in pictures().items():
        with replacing(args.output / name) as partial:
            partial.write_text(image)
        print(args.output / name, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
