"""A stand-in for GitHub's runner: it runs each job of a workflow in a clone of its own.

It supports what the workflows of this repository use: needs, if, env, outputs, artifacts and called
workflows. An unknown action is an error.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Values = dict[str, Any]
PATH = r"[a-zA-Z_][\w-]*(\.[\w-]+)+"


class StepError(Exception):
    """A step failed; the message is its output."""


@dataclass
class Runner:
    """``replaced`` maps a command to another one to run; ``after``, to a function to call then."""

    origin: Path
    directory: Path
    environment: dict[str, str]
    aws: dict[str, str]  # environment that assuming a role adds
    variables: Values
    secrets: Values
    replaced: dict[str, str] = field(default_factory=dict)
    after: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)  # of all steps
    failed: dict[str, str] = field(default_factory=dict)  # outputs of failed jobs of the last run
    commands: list[str] = field(default_factory=list)  # of the last run, as JOB: COMMAND
    _runs: int = 0

    def run(
        self, name: str, event: str, ref: str = "main", about: Values | None = None, **inputs: str
    ) -> dict[str, str]:
        """Run a workflow and return how each job ended, by WORKFLOW/JOB or JOB."""
        self._runs += 1
        self.failed.clear()
        self.commands.clear()
        sha = self._git("rev-parse", ref)
        before = self._git("rev-parse", f"{ref}~1")
        github = {
            "event_name": event,
            "ref": f"refs/heads/{ref}",
            "ref_name": ref,
            "sha": sha,
            "run_id": str(self._runs),
            "workflow": name,
            "token": "",
            "event": about or ({"before": before} if event == "push" else {}),
        }
        scratch = self.directory / f"run-{self._runs}"
        return self._workflow(name, github, inputs, scratch)

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.origin), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def _workflow(self, name: str, github: Values, inputs: Values, scratch: Path) -> dict[str, str]:
        text = self._git("show", f"{github['sha']}:.github/workflows/{name}.yml")
        ended: dict[str, str] = {}
        outputs: dict[str, Values] = {}
        for key, job in yaml.safe_load(text)["jobs"].items():
            names = job.get("needs", [])
            names = [names] if isinstance(names, str) else names
            needs = {n: {"result": ended[n], "outputs": outputs.get(n, {})} for n in names}
            succeeded = all(each["result"] == "success" for each in needs.values())
            known = {"github": github, "inputs": inputs, "needs": needs, "env": {}, "steps": {}}
            known |= {"vars": self.variables, "secrets": self.secrets}
            condition = str(job.get("if", "success()"))
            if ("cancelled()" not in condition and not succeeded) or not evaluate(condition, known):
                ended[key] = "skipped"
                continue
            if "uses" in job:
                called = Path(job["uses"]).stem
                own = {k: fill(v, known) for k, v in job.get("with", {}).items()}
                results = self._workflow(called, github, own, scratch)
                ended |= {f"{key}/{inner}": result for inner, result in results.items()}
                ended[key] = "failure" if "failure" in results.values() else "success"
                continue
            try:
                outputs[key] = self._job(f"{name}-{key}", job, known, scratch)
                ended[key] = "success"
            except StepError as error:
                self.failed[key] = str(error)
                ended[key] = "failure"
        return ended

    def _job(self, name: str, job: Values, known: Values, scratch: Path) -> Values:
        place = scratch / name
        place.mkdir(parents=True)
        environment = dict(self.environment)
        known["env"] = {k: fill(v, known) for k, v in job.get("env", {}).items()}
        failed: StepError | None = None
        for step in job["steps"]:
            condition = str(step.get("if", "success()"))
            if (failed and "cancelled()" not in condition) or not evaluate(condition, known):
                continue
            try:
                self._step(name, step, known, environment, place, scratch)
            except StepError as error:
                failed = error
        if failed:
            raise failed
        return {k: fill(v, known) for k, v in job.get("outputs", {}).items()}

    def _step(
        self,
        job: str,
        step: Values,
        known: Values,
        environment: dict[str, str],
        place: Path,
        scratch: Path,
    ) -> None:
        inputs = {k: fill(v, known) for k, v in step.get("with", {}).items()}
        action = str(step.get("uses", "")).partition("@")[0]
        artifact = scratch / "artifacts" / inputs.get("name", "")
        if action == "actions/checkout":
            assert inputs["persist-credentials"] == "false"
            place.rmdir()
            self._clone(place, inputs.get("ref") or known["github"]["sha"])
        elif action == "./.github/actions/setup":
            inner = known | {"inputs": {"role": "", "region": "", "cache": ""} | inputs}
            (place / ".venv").mkdir()
            (place / ".venv/installed").touch()  # the packages of the tests are used
            for each in yaml.safe_load((place / action / "action.yml").read_text())["runs"][
                "steps"
            ]:
                if evaluate(str(each.get("if", "success()")), inner):
                    self._step(job, each, inner, environment, place, scratch)
        elif action == "aws-actions/configure-aws-credentials":
            environment |= self.aws
        elif action == "actions/upload-artifact":
            _upload(place, inputs["path"].split(), artifact)
        elif action == "actions/download-artifact":
            if not artifact.exists():
                raise StepError(f"no artifact {artifact.name}")
            shutil.copytree(artifact, place / inputs.get("path", "."), dirs_exist_ok=True)
        elif action in ("actions/setup-python", "sigstore/cosign-installer"):
            pass  # their programs are on the PATH
        else:
            assert not action, f"no stand-in for {action}"
            own = known["env"] | {k: fill(v, known) for k, v in step.get("env", {}).items()}
            self._command(job, step, known, environment | own, place)

    def _clone(self, place: Path, ref: str) -> None:
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
        run("git", "clone", "--quiet", "--no-checkout", str(self.origin), str(place))
        run("git", "-C", str(place), "checkout", "--quiet", "--detach", ref)

    def _command(
        self, job: str, step: Values, known: Values, environment: dict[str, str], place: Path
    ) -> None:
        assert "${{" not in step["run"], "a script contains a value"
        self.commands.append(f"{job}: {step['run']}")
        output = place.parent / f"{job}.output"
        output.write_text("")
        result = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", self.replaced.get(step["run"], step["run"])],
            cwd=place,
            env=environment | {"GITHUB_OUTPUT": str(output)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        self.outputs.append(result.stdout + result.stderr)
        if result.returncode:
            raise StepError(f"{job}: {step['run']}: {result.stdout}{result.stderr}")
        if "id" in step:
            pairs = (line.partition("=") for line in output.read_text().splitlines())
            known["steps"][step["id"]] = {"outputs": {key: value for key, _, value in pairs}}
        if step["run"] in self.after:
            self.after[step["run"]](place)


def _upload(place: Path, patterns: list[str], artifact: Path) -> None:
    """Store files relative to their common folder, as GitHub does; patterns count up to a star."""
    whole, star = ([p for p in patterns if ("*" in p) is wanted] for wanted in (False, True))
    folders = [*(Path(p).parent for p in whole), *(Path(p.partition("*")[0]) for p in star)]
    common = Path(os.path.commonpath(folders))
    found = {pattern: sorted(place.glob(pattern)) for pattern in patterns}
    if not all(found.values()):
        raise StepError(f"nothing to upload: {found}")
    for path in (each for paths in found.values() for each in paths):
        target = artifact / path.relative_to(place / common)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy(path, target)


def fill(value: Any, known: Values) -> str:
    """Return a value of a workflow with its expressions evaluated."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda match: _shown(evaluate(match[1], known)), text)


def evaluate(expression: str, known: Values) -> Any:
    """Evaluate an expression of GitHub after translating it to Python."""
    expression = re.sub(r"^\$\{\{\s*(.*?)\s*\}\}$", r"\1", expression)
    parts = re.split(r"('(?:[^']|'')*')", expression)
    for index in range(0, len(parts), 2):
        part = re.sub(PATH, lambda path: f"at({path[0]!r})", parts[index])
        part = part.replace("&&", " and ").replace("||", " or ")
        parts[index] = re.sub(r"!(?!=)", " not ", part)
    names = {
        "at": lambda path: _at(path, known),
        "cancelled": lambda: False,
        "success": lambda: True,
        "contains": lambda where, what: what in where,
        "format": lambda text, *values: text.format(*values),
        "fromJSON": json.loads,
    }
    return eval("".join(parts).strip(), {"__builtins__": {}}, names)  # noqa: S307


def _at(path: str, known: Values) -> Any:
    value: Any = known
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
