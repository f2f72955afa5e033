"""Make the challenger the champion when it has passed the gate, or move the champion back."""

import argparse
import logging
from pathlib import Path
from typing import Any

from components import cli
from components.errors import UserError
from components.io import registry
from components.io.files import read_json, write_json
from components.report import release_notes

log = logging.getLogger("promote")


def promote(verdict: dict[str, Any]) -> dict[str, str]:
    """Carry out a verdict of gate and return the outcome, the versions before and after, and why.

    The outcome is promoted, refused or unchanged. A promoted version gets release notes.

    Raises:
        UserError: the champion is not the one that the challenger was judged against.
    """
    result = _carry_out(verdict)
    if result["outcome"] != "refused":  # unchanged too: a run that was killed may have left none
        with registry.connected() as client:
            release_notes.keep(client, verdict["name"], verdict["version"])
    return result


def _carry_out(verdict: dict[str, Any]) -> dict[str, str]:
    name, version, judged = verdict["name"], verdict["version"], verdict["champion"]
    if not verdict["passed"]:
        return {"outcome": verdict["outcome"], "from": judged, "to": judged, "why": verdict["why"]}
    with registry.connected() as client:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        now = str(champion.version) if champion else registry.NONE
        if now == version:
            why = f"version {version} is the champion already"
            return {"outcome": "unchanged", "from": now, "to": now, "why": why}
        if now != judged:
            raise UserError(
                f"{name}: the champion is version {now} now, and was {judged} when version"
                f" {version} was judged; run gate again"
            )
        why, figures = verdict["why"], verdict["figures"]
        registry.decide(client, name, registry.Decision("promoted", now, version, why, figures))
    return {"outcome": "promoted", "from": now, "to": version, "why": why}


def rollback(name: str, to: str | None, why: str) -> dict[str, str]:
    """Move the champion to version ``to``, or to the champion before the present one."""
    with registry.connected() as client:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is None:
            raise UserError(f"{name} has no champion to roll back")
        before = str(champion.version)
        if to is None:
            to = former(registry.moves(client, name), before)
            if to is None:
                raise UserError(f"{name} version {before} replaced no other; say --to VERSION")
        client.get_model_version(name, to)
        if to == before:
            return {"outcome": "unchanged", "from": before, "to": to, "why": "champion already"}
        registry.decide(client, name, registry.Decision("rolled_back", before, to, why))
    return {"outcome": "rolled_back", "from": before, "to": to, "why": why}


def former(moves: list[dict[str, str]], champion: str) -> str | None:
    """Return the champion before the present one, by the moves, the newest of which is first.

    Going back undoes moves, so that it can be done again and never swings between two versions.
    A version that was brought in otherwise, by --to or by hand, came after what was champion then.
    """
    line: list[str] = []

    def reach(version: str) -> None:
        if version in line:
            del line[len(line) - line[::-1].index(version) :]
        elif version != registry.NONE:
            line.append(version)

    for move in reversed(moves):
        reach(move["from"])
        if move["outcome"] == "promoted":
            line.append(move["to"])
        else:
            reach(move["to"])
    reach(champion)
    return line[-2] if len(line) > 1 else None


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.promote", description=__doc__)
    parser.add_argument("--verdict", type=Path, help="JSON file from gate")
    parser.add_argument("--promotion", type=Path, help="JSON file to write")
    parser.add_argument("--rollback", action="store_true", help="move the champion back instead")
    parser.add_argument("--to", metavar="VERSION", help="where to, with --rollback")
    parser.add_argument("--why", help="the reason to record, with --rollback")
    parser.add_argument(
        "--history", action="store_true", help="print what was decided so far, the newest first"
    )
    parser.add_argument(
        "--name",
        default="sentiment",
        help="the model, with --rollback or --history; default: %(default)s",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.rollback and not args.why:
        parser().error("--rollback needs --why")
    if not (args.rollback or args.history or (args.verdict and args.promotion)):
        parser().error("--verdict and --promotion are needed, or --rollback, or --history")

    def work() -> None:
        if args.history:
            with registry.connected() as client:
                told = registry.decisions(client, args.name)
            for each in told:
                refused = each["outcome"] == "refused"
                versions = each["to"] if refused else "{from} -> {to}".format(**each)
                print("{at} {by}: {outcome}".format(**each), f"{versions}: {each['why']}")
            if not told:
                log.info("nothing was decided yet")
            return
        if args.rollback:
            result = rollback(args.name, args.to, args.why)
        else:
            result = promote(read_json(args.verdict))
            write_json(args.promotion, result)
        moved = ", version {from} -> {to}" if result["from"] != result["to"] else ""
        log.info("%s%s: %s", result["outcome"], moved.format(**result), result["why"])

    return cli.run("promote", work)


if __name__ == "__main__":
    raise SystemExit(main())
