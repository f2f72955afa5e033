"""See that dvc.lock is what dvc.yaml, params.yaml and the code make, without any data.

It looks at the stages up to evaluate: what is registered and promoted depends on the registry.
"""

import argparse
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import yaml

from components import cli
from components.errors import UserError

LAST = "evaluate"
LOCK = Path("dvc.lock")
# who commits it: see `make record`
ROBOT = "41898282+github-actions[bot]@users.noreply.github.com"
MEND = "run the workflow retrain on this branch, or make retrain where the data are"

log = logging.getLogger("lock")


def stale(status: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return, of what `dvc status` says, the stages that must run again and why.

    Data that are not here count as unchanged: the lock has their digests.
    """
    found: dict[str, list[str]] = {}
    for stage, changes in status.items():
        why = []
        for change in changes:
            if isinstance(change, str):
                why.append("its command")
            else:
                deps = change.get("changed deps", {})
                why += [path for path, how in deps.items() if how != "deleted" or _is_code(path)]
        if why:
            found[stage] = why
    return found


def torn(lock: dict[str, Any]) -> list[str]:
    """Return the files that one stage of the lock made otherwise than another read them.

    That is what a merge of two locks leaves behind.
    """
    makers = {out["path"]: name for name, each in lock.items() for out in each.get("outs", [])}
    made = {out["path"]: out["md5"] for each in lock.values() for out in each.get("outs", [])}
    found, queue = set(), [LAST]
    seen = set(queue)
    for name in queue:
        for dep in lock.get(name, {}).get("deps", []):
            path = dep["path"]
            if path not in made:
                continue
            if made[path] != dep["md5"]:
                found.add(path)
            if makers[path] not in seen:
                seen.add(makers[path])
                queue.append(makers[path])
    return sorted(found)


def by_hand(base: str) -> list[str]:
    """Return the commits since ``base`` that change the lock and are not the retrain job's."""
    said = _run("git", "log", "--format=%ae %h", f"{base}..HEAD", "--", str(LOCK)).splitlines()
    commits = (line.rpartition(" ") for line in said)
    return [commit for author, _, commit in commits if author != ROBOT]


def check(base: str | None) -> None:
    if not LOCK.exists():
        raise UserError(f"there is no {LOCK}; {MEND}")
    if base and (commits := by_hand(base)):
        raise UserError(
            f"{LOCK} is changed in {', '.join(commits)}, and only the workflow retrain may;"
            f" git checkout {base} -- {LOCK}, commit, and {MEND}"
        )
    lock = yaml.safe_load(LOCK.read_text())["stages"]
    if files := torn(lock):
        raise UserError(f"{LOCK} does not hold together at {', '.join(files)}; {MEND}")
    found = stale(json.loads(_run("dvc", "status", "--json", "--with-deps", LAST)))
    if found:
        order = [*lock, *found]  # dvc has none
        told = sorted(found.items(), key=lambda each: order.index(each[0]))
        stages = "; ".join(f"{stage} ({', '.join(why)})" for stage, why in told)
        raise UserError(f"{LOCK} is stale: {stages}; {MEND}")
    log.info("%s is what the code and the parameters make", LOCK)


def _is_code(path: str) -> bool:
    return Path(path).suffix in (".py", ".txt")


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise UserError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description=__doc__)
    parser.add_argument(
        "--base", metavar="REF", help="see too that no commit since then changes it by hand"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    return cli.run("lock", lambda: check(args.base))


if __name__ == "__main__":
    raise SystemExit(main())
