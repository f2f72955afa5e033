"""Make the challenger the champion if it passed the gate, or move the champion back."""

import argparse
import logging
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import mlflow

from components import cli
from components.errors import UserError
from components.io import killed, records, registry
from components.io.registry import Decision
from components.report import release_notes
from components.stage import Artifact
from components.verdict import GateVerdict

log = logging.getLogger("promote")


def promote(verdict: GateVerdict) -> Decision:
    """Carry out a verdict of gate: promoted, refused or unchanged.

    A promoted version gets release notes.

    Raises:
        UserError: the champion is not the one that the challenger was judged against.
    """
    decision = _carry_out(verdict)
    if decision.outcome != "refused":  # if unchanged, a killed run may have left no notes
        with registry.connected() as client:
            release_notes.keep(client, verdict.name, verdict.version)
    return decision


def _carry_out(verdict: GateVerdict) -> Decision:
    name, version, judged = verdict.name, verdict.version, verdict.champion
    if not verdict.passed:
        return Decision(verdict.outcome, judged, judged, verdict.why)
    with registry.connected() as client:
        killed.close_records(client, name)
        champion = registry.champion(client, name)
        current = str(champion.version) if champion else registry.NONE
        if current == version:
            why = f"version {version} is the champion already"
            return Decision("unchanged", current, current, why)
        if current != judged:
            raise UserError(
                f"{name}: the champion is version {current} now, and was {judged} when version"
                f" {version} was judged; run gate again:"
                " dvc repro --force --single-item gate promote"
            )
        registry.find_version(client, name, version)
        decision = Decision("promoted", current, version, verdict.why, verdict.figures)
        registry.decide(client, name, decision)
    return replace(decision, figures=None)


def rollback(name: str, to: str | None, why: str) -> Decision:
    """Move the alias champion to version ``to``, or to the champion before the current one.

    ``to`` sets the alias even if it was deleted.

    Raises:
        UserError: there is no champion, no champion before it, or no such version.
    """
    with registry.connected() as client:
        killed.close_records(client, name)
        if to is None:
            current, to = _way_back(client, name)
        else:
            champion = registry.alias_version(client, name, registry.CHAMPION)
            current = str(champion.version) if champion else registry.NONE
        target = registry.find_version(client, name, to)
        to = str(target.version)
        if to == current:
            return Decision("unchanged", current, to, "champion already")
        registry.require_files(client, target)
        decision = Decision("rolled_back", current, to, why)
        registry.decide(client, name, decision)
    return decision


def _way_back(client: mlflow.MlflowClient, name: str) -> tuple[str, str]:
    """Return the champion and the one before it that still exists."""
    champion = registry.champion(client, name)
    if champion is None:
        raise UserError(f"{name} has no champion to roll back")
    current = str(champion.version)
    to = former_champion(registry.moves(client, name), current, registry.versions(client, name))
    if to is None:
        raise UserError(f"{name} version {current} replaced no other; say --to VERSION")
    return current, to


def former_champion(
    moves: list[Decision], champion: str, existing: Container[str] | None = None
) -> str | None:
    """Return the champion before the current one; the newest of ``moves`` is the first.

    Versions that are not in ``existing`` are passed over.

    A rollback undoes moves, so repeated rollbacks go further back and never swing between two
    versions. A version that became champion otherwise, by --to or by hand, follows the version
    that was champion at that time.
    """
    champions: list[str] = []

    def append_or_rewind(version: str) -> None:
        if version in champions:
            del champions[len(champions) - champions[::-1].index(version) :]
        elif version != registry.NONE:
            champions.append(version)

    for move in reversed(moves):
        append_or_rewind(move.before)
        if move.outcome == "promoted":
            champions.append(move.after)
        else:
            append_or_rewind(move.after)
    append_or_rewind(champion)
    former = (version for version in champions[-2::-1] if version != champion)
    return next((each for each in former if existing is None or each in existing), None)


def run(
    verdict: Annotated[Path, Artifact("JSON file from gate")],
    promotion: Annotated[Path, Artifact("JSON file to write", output=True)],
) -> None:
    decision = promote(records.read(verdict, GateVerdict))
    records.write(promotion, decision)
    _log(decision)


def _log(decision: Decision) -> None:
    moved = decision.before != decision.after
    versions = f", version {decision.before} -> {decision.after}" if moved else ""
    log.info("%s%s: %s", decision.outcome, versions, decision.why)


def print_history(name: str) -> None:
    """Print the decisions so far, the newest first."""
    with registry.connected() as client:
        decisions = registry.decisions(client, name)
        for each in decisions:
            refused = each.outcome == "refused"
            versions = each.after if refused else f"{each.before} -> {each.after}"
            print(f"{each.at} {each.by}: {each.outcome} {versions}: {each.why}")
        try:
            champion = registry.champion(client, name)
        except UserError as error:  # the alias is gone, and the decisions are not
            log.warning("%s", error)
            return
        if decisions:
            return
        if champion is not None:
            log.info("version %s is the champion; no decision is recorded", champion.version)
        elif others := _other_models(client, name):
            raise UserError(f"--name {name}: no such model in the registry, which has {others}")
        else:
            log.info("nothing was decided yet")


def _other_models(client: mlflow.MlflowClient, name: str) -> str:
    """Return the names of the registered models, if ``name`` is none of them."""
    names = [model.name for model in client.search_registered_models()]
    return "" if name in names else ", ".join(names)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.promote", description=__doc__)
    parser.add_argument("--verdict", type=Path, help="JSON file from gate")
    parser.add_argument("--promotion", type=Path, help="JSON file to write")
    parser.add_argument("--rollback", action="store_true", help="move the champion back instead")
    parser.add_argument("--to", metavar="VERSION", help="with --rollback: the version to go to")
    parser.add_argument("--why", help="with --rollback: the reason to record")
    parser.add_argument(
        "--history", action="store_true", help="print the decisions so far, the newest first"
    )
    parser.add_argument(
        "--name",
        default="sentiment",
        help="with --rollback or --history: the registered model; default: %(default)s",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if sum([args.rollback, args.history, bool(args.verdict or args.promotion)]) > 1:
        parser().error("--rollback, --history, and --verdict with --promotion exclude each other")
    if args.rollback and not args.why:
        parser().error("--rollback needs --why")
    if (args.to or args.why) and not args.rollback:
        parser().error("--to and --why need --rollback")
    if not (args.rollback or args.history or (args.verdict and args.promotion)):
        parser().error("--verdict and --promotion are needed, or --rollback, or --history")

    def work() -> None:
        if args.history:
            print_history(args.name)
        elif args.rollback:
            _log(rollback(args.name, args.to, args.why))
        else:
            run(args.verdict, args.promotion)

    return cli.run("promote", work)


if __name__ == "__main__":
    raise SystemExit(main())
