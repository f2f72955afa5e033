"""The AWS account under the cluster: its stacks, brought up, shown and taken down.

The templates are those of manifests/aws, in the order in which they need each other. A change is
shown as CloudFormation's change set, and made when the answer is y. docs/aws.md has the costs.
"""

import argparse
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from components import cli
from components.errors import UserError
from deploy.aws import stacks, teardown

log = logging.getLogger("aws")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.aws", description=__doc__)
    add = parser.add_argument
    add("what", choices=("up", "status", "down"))
    add("--only", choices=stacks.ORDER, help="this stack and no other")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    add("--region", help="default: AWS_DEFAULT_REGION, or that of the profile")
    add("--yes", action="store_true", help="ask nothing")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def parameters(pairs: list[str], names: list[str]) -> dict[str, str]:
    """Return values by name, each of which some template takes."""
    known = {each for name in names for each in stacks.template(name).parameters}
    values = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name not in known:
            raise UserError(f"--param {pair}: say NAME=VALUE, with a name of {sorted(known)}")
        values[name] = value
    return values


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what boto3 raises, in the block, into an error of one line."""
    try:
        yield
    except ClientError as error:
        said = error.response["Error"]
        raise UserError(f"{error.operation_name}: {said['Code']}, {said['Message']}") from error
    except BotoCoreError as error:
        raise UserError(str(error)) from error


def ask(question: str, yes: bool) -> bool:
    if yes:
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError as error:
        raise UserError(f"nobody answers {question!r}: say --yes") from error


def up(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    for name in names:
        given = stacks.template(name)
        found = stacks.find(client, given.stack)
        if found:
            stacks.settled(found)
        elif args.dry_run:  # no change set: it would want what earlier stacks export, and stay
            log.info("%s: %d resources, all new", given.stack, len(given.resources))
            for resource, kind in given.resources.items():
                log.info("  add %s (%s)", resource, kind)
            continue
        proposed = stacks.propose(client, given, found, args.values)
        if proposed is None:
            log.info("%s: no change", given.stack)
            continue
        change_set, changes = proposed
        log.info("%s: %d changes", given.stack, len(changes))
        for each in changes:
            log.info("  %s", stacks.described(each))
        agreed = False
        try:
            agreed = not args.dry_run and ask(f"change {given.stack}?", args.yes)
        finally:
            if not agreed:
                stacks.withdraw(client, given.stack, change_set, found)
        if agreed:
            stacks.execute(client, given.stack, change_set, found)
            log.info("%s: done", given.stack)
        elif not args.dry_run:
            raise UserError(f"{given.stack} is as it was, and what comes after it too")


def down(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    wanted = {name: stacks.find(client, f"sentiment-{name}") for name in reversed(names)}
    present = {name: found for name, found in wanted.items() if found}
    for found in present.values():
        log.info("%s would go, with all that it holds", found["StackName"])
    if args.dry_run:
        return
    if present and not ask("delete them, models, data and images included?", args.yes):
        raise UserError("all is as it was")
    for name, found in present.items():
        if prepare := teardown.BEFORE.get(name):
            prepare(session)
        stacks.delete(client, found)
        log.info("%s: gone", found["StackName"])
    if not args.only:
        teardown.delete_late_logs(session)
        if left := teardown.billed(session):
            raise UserError(f"still there, and billed: {', '.join(left)}")
        log.info("nothing is left that is billed")


def status(session: Any, names: list[str], args: argparse.Namespace) -> None:
    client = session.client("cloudformation")
    for name in names:
        found = stacks.find(client, f"sentiment-{name}") or {"StackStatus": "not there"}
        print(f"sentiment-{name}: {found['StackStatus']}")
        for each in found.get("Outputs", []):
            print(f"  {each['OutputKey']}: {each['OutputValue']}")
        if re.search("FAILED|ROLLBACK", found["StackStatus"]):
            for failure in stacks.failures(client, found["StackId"]):
                print(f"  failed: {failure}")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.param and args.what != "up":
        parser().error(f"--param is for up, not {args.what}")
    names = [args.only] if args.only else list(stacks.ORDER)

    def work() -> None:
        args.values = parameters(args.param, names)
        with one_line():
            session = boto3.Session(region_name=args.region)
            if not session.region_name:
                raise UserError("no region: say --region, or set AWS_DEFAULT_REGION")
            account = session.client("sts").get_caller_identity()["Account"]
            log.info("account %s, region %s", account, session.region_name)
            {"up": up, "down": down, "status": status}[args.what](session, names, args)

    return cli.run("aws", work)


if __name__ == "__main__":
    raise SystemExit(main())
