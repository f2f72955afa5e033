"""Check that dvc.lock fits dvc.yaml, params.yaml and the code, without any data.

Only the stages up to evaluate count: the others depend on the registry.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import yaml

from components import cli
from components.errors import UserError
from components.io import dvc_lock
from tools.commands import output
from tools.record import ROBOT

LAST = "evaluate"
LOCK = dvc_lock.LOCK
REMEDY = "run the workflow retrain on this branch, or make retrain where the data are"

log = logging.getLogger("lock")


def stale(status: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return the stages that must run again and why, from what `dvc status` reports.

    Missing data count as unchanged: the lock has their digests.
    """
    reasons: dict[str, list[str]] = {}
    for stage, changes in status.items():
        for change in changes:
            if change == "always changed":  # DVC says so of the stages source and suite
                paths = []
            elif isinstance(change, str):
                paths = ["its command"]
            else:
                deps = change.get("changed deps", {})
                paths = [
                    # DVC gives the changed sections of params.yaml by name
                    f"{path}: {', '.join(how)}" if isinstance(how, dict) else path
                    for path, how in deps.items()
                    if how != "deleted" or _is_code(path)
                ]
            if paths:
                reasons.setdefault(stage, []).extend(paths)
    return reasons


def inconsistent_outputs(lock: dict[str, Any]) -> list[str]:
    """Return the files with one digest as a stage's output and another as a stage's input.

    A merge of two locks leaves such files behind.
    """
    outputs = {
        out["path"]: (stage, out["md5"])
        for stage, entry in lock.items()
        for out in entry.get("outs", [])
    }
    paths, queue = set(), [LAST]
    for stage in queue:
        for dep in lock.get(stage, {}).get("deps", []):
            if dep["path"] not in outputs:
                continue
            writer, digest = outputs[dep["path"]]
            if digest != dep["md5"]:
                paths.add(dep["path"])
            if writer not in queue:
                queue.append(writer)
    return sorted(paths)


def manual_changes(base: str) -> list[str]:
    """Return the commits since ``base`` that changed the lock and are not the robot's."""
    lines = output("git", "log", "--format=%ae %h", f"{base}..HEAD", "--", str(LOCK)).splitlines()
    commits = (line.rpartition(" ") for line in lines)
    return [commit for author, _, commit in commits if author != ROBOT]


def check(base: str | None) -> None:
    """Check the lock, and with ``base`` also the commits since then.

    Raises:
        UserError: the lock is missing, changed by hand, inconsistent or stale.
    """
    if not LOCK.exists():
        raise UserError(f"there is no {LOCK}; {REMEDY}")
    if base and (commits := manual_changes(base)):
        raise UserError(
            f"{LOCK} is changed in {', '.join(commits)}, and only the workflow retrain may;"
            f" git checkout {base} -- {LOCK}, commit, and {REMEDY}"
        )
    if cause := dvc_lock.problem():
        raise UserError(f"{LOCK} is cut off or changed by hand ({cause}): make train restores it")
    lock = yaml.safe_load(LOCK.read_text()).get("stages", {})
    if files := inconsistent_outputs(lock):
        raise UserError(f"{LOCK} does not hold together at {', '.join(files)}; {REMEDY}")
    if reasons := stale(json.loads(output("dvc", "status", "--json", "--with-deps", LAST))):
        order = [stage for stage in lock if stage in reasons]  # dvc status sorts by name
        order += [stage for stage in reasons if stage not in lock]
        stages = "; ".join(f"{stage} ({', '.join(reasons[stage])})" for stage in order)
        raise UserError(f"{LOCK} is stale: {stages}; {REMEDY}")
    log.info("%s fits the code and the parameters", LOCK)


def _is_code(path: str) -> bool:
    return Path(path).suffix in (".py", ".txt")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description=__doc__)
    parser.add_argument(
        "--base", metavar="REF", help="check too that only retrain changed the lock since"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    return cli.run("lock", lambda: check(args.base))


if __name__ == "__main__":
    raise SystemExit(main())
