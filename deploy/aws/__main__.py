"""Bring up, show or take down the stacks of the AWS account that the cluster runs in.

The templates are in manifests/aws. Each change is shown as CloudFormation's change set, and
executed when you answer y. ``rotate`` changes the passwords of MLflow and of its database.
docs/aws.md has the costs.
"""

import argparse
import logging
import re
from typing import Any

import boto3

from components import cli
from components.errors import UserError
from deploy.aws import passwords, stacks, teardown
from deploy.aws.errors import one_line

log = logging.getLogger("aws")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.aws", description=__doc__)
    add = parser.add_argument
    add("command", choices=("up", "status", "down", "rotate"))
    add("--only", choices=stacks.ORDER, help="this stack and no other")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    add("--region", help="default: AWS_DEFAULT_REGION, or that of the profile")
    add("--yes", action="store_true", help="do not ask")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    return parser


def parameters(pairs: list[str], names: list[str]) -> dict[str, str]:
    """Return values by name, each of which a template takes."""
    known = {each for name in names for each in stacks.template(name).parameters}
    values = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name not in known:
            raise UserError(f"--param {pair}: give NAME=VALUE, with a name of {sorted(known)}")
        values[name] = value
    return values


def confirm(question: str, yes: bool) -> bool:
    if yes:
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError as error:
        raise UserError(f"no terminal to ask {question!r} on: pass --yes") from error


def up(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    for name in names:
        template = stacks.template(name)
        stack = stacks.find(client, template.stack)
        if stack:
            stacks.require_settled(stack)
        elif args.dry_run:  # a change set would need exports of earlier stacks, and would stay
            log.info("%s: %d resources, all new", template.stack, len(template.resources))
            for resource, kind in template.resources.items():
                log.info("  add %s (%s)", resource, kind)
            continue
        change_set = stacks.propose(client, template, stack, args.values)
        if change_set is None:
            log.info("%s: no change", template.stack)
            continue
        log.info("%s: %d changes", template.stack, len(change_set.changes))
        for change in change_set.changes:
            log.info("  %s", change)
        agreed = False
        try:
            agreed = not args.dry_run and confirm(f"change {template.stack}?", args.yes)
        finally:
            if not agreed:
                stacks.withdraw(client, change_set)
        if agreed:
            stacks.execute(client, change_set)
            log.info("%s: done", template.stack)
        elif not args.dry_run:
            raise UserError(f"{template.stack} and the stacks after it are unchanged")


def down(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    stacks_by_name = {name: stacks.find(client, f"sentiment-{name}") for name in reversed(names)}
    present = {name: stack for name, stack in stacks_by_name.items() if stack}
    for stack in present.values():
        log.info("%s would be deleted, with all that it holds", stack["StackName"])
    if args.dry_run:
        return
    question = "delete them, models, data and images included, but for a snapshot of the database?"
    if present and not confirm(question, args.yes):
        raise UserError("nothing was deleted")
    for name, stack in present.items():
        if prepare := teardown.BEFORE.get(name):
            prepare(session)
        stacks.delete(client, stack)
        log.info("%s: deleted", stack["StackName"])
    for name in teardown.snapshots(session):
        log.info("kept: the snapshot %s of MLflow's database; docs/aws.md has its price", name)
    if not args.only:
        teardown.delete_late_logs(session)
        if left := teardown.billed(session):
            raise UserError(f"still there, and billed: {', '.join(left)}")
        log.info("nothing else is left that is billed")


def status(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    for name in names:
        stack = stacks.find(client, f"sentiment-{name}") or {"StackStatus": "not there"}
        print(f"sentiment-{name}: {stack['StackStatus']}")
        for output in stack.get("Outputs", []):
            print(f"  {output['OutputKey']}: {output['OutputValue']}")
        if re.search("FAILED|ROLLBACK", stack["StackStatus"]):
            for failure in stacks.failures(client, stack["StackId"]):
                print(f"  failed: {failure}")


def rotate(session: Any, names: list[str], args: argparse.Namespace) -> None:
    log.info("new passwords for RDS and for the secrets %s", " and ".join(passwords.FIELDS))
    if args.dry_run:
        return
    if not confirm("change them?", args.yes):
        raise UserError("nothing was changed")
    passwords.rotate(session)
    log.info("done; now bring them to MLflow, by the commands in docs/aws.md")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.param and args.command != "up":
        parser().error(f"--param is for up, not {args.command}")
    if args.only and args.command == "rotate":
        parser().error("--only is for up, status and down, not rotate")
    names = [args.only] if args.only else list(stacks.ORDER)

    def work() -> None:
        args.values = parameters(args.param, names)
        with one_line():
            session = boto3.Session(region_name=args.region)
            if not session.region_name:
                raise UserError("no region: pass --region, or set AWS_DEFAULT_REGION")
            account = session.client("sts").get_caller_identity()["Account"]
            log.info("account %s, region %s", account, session.region_name)
            commands = {"up": up, "down": down, "status": status, "rotate": rotate}
            commands[args.command](session, names, args)

    return cli.run("aws", work)


if __name__ == "__main__":
    raise SystemExit(main())
