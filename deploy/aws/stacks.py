"""CloudFormation's stacks of manifests/aws, one after the other: states, change sets, deletion."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError, WaiterError

from components.errors import UserError

TEMPLATES = Path(__file__).parents[2] / "manifests" / "aws"
ORDER = ("budget", "storage", "registry", "network", "cluster", "mlflow", "identities")
PATIENCE = {"Delay": 10, "MaxAttempts": 540}  # a database takes a quarter of an hour, a cluster too
UNCHANGED = re.compile("didn't contain changes|No updates are to be performed")


class _Loader(yaml.SafeLoader):
    """Reads past !Ref and its like, whose values nobody asks for here."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Template:
    stack: str
    body: str
    parameters: frozenset[str]
    resources: dict[str, str]  # types, by logical name


def template(name: str) -> Template:
    body = (TEMPLATES / f"{name}.yaml").read_text()
    read = yaml.load(body, _Loader)  # noqa: S506, it is a SafeLoader
    resources = {key: value["Type"] for key, value in read["Resources"].items()}
    return Template(f"sentiment-{name}", body, frozenset(read.get("Parameters", ())), resources)


def find(client: Any, stack: str) -> dict[str, Any] | None:
    """Return what CloudFormation knows of a stack, if there is one that holds anything."""
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found


def settled(found: dict[str, Any]) -> None:
    """Raise unless a stack can take a change."""
    stack, status = found["StackName"], found["StackStatus"]
    if status.endswith("_IN_PROGRESS"):
        raise UserError(f"{stack} is in {status}: somebody is changing it; wait for its end")
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise UserError(
            f"{stack} is in {status}, from which nothing but its deletion leads:"
            " python -m deploy.aws down --only " + stack.removeprefix("sentiment-")
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        raise UserError(f"{stack} is in {status}: aws cloudformation continue-update-rollback")


def propose(
    client: Any, given: Template, found: dict[str, Any] | None, values: dict[str, str]
) -> tuple[str, list[dict[str, Any]]] | None:
    """Return a change set's name and what it would change, or nothing where nothing would.

    Values that are not given stay what they were.
    """
    before = {each["ParameterKey"] for each in (found or {}).get("Parameters", [])}
    parameters: list[dict[str, Any]] = []
    for name in sorted(given.parameters & (before | set(values))):
        new = {"ParameterValue": values[name]} if name in values else {"UsePreviousValue": True}
        parameters.append({"ParameterKey": name, **new})
    name = f"up-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    which = {"StackName": given.stack, "ChangeSetName": name}
    client.create_change_set(
        **which,
        ChangeSetType="UPDATE" if found else "CREATE",
        TemplateBody=given.body,
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=[{"Key": "project", "Value": "sentiment"}],
    )
    try:
        client.get_waiter("change_set_create_complete").wait(
            **which, WaiterConfig={"Delay": 3, "MaxAttempts": 200}
        )
    except WaiterError as error:
        reason = client.describe_change_set(**which).get("StatusReason") or str(error)
        client.delete_change_set(**which)
        if UNCHANGED.search(reason):
            return None
        raise UserError(f"{given.stack}: no change set, {reason}") from error
    pages = client.get_paginator("describe_change_set").paginate(**which)
    return name, [each["ResourceChange"] for page in pages for each in page.get("Changes", [])]


def described(change: dict[str, Any]) -> str:
    """Return a change in words; one that makes a resource anew loses the old one."""
    name, kind = change["LogicalResourceId"], change["ResourceType"]
    anew = {"True": ", made anew", "Conditional": ", perhaps made anew"}
    return (
        f"{change['Action'].lower()} {name} ({kind}){anew.get(change.get('Replacement', ''), '')}"
    )


def execute(client: Any, stack: str, change_set: str, found: dict[str, Any] | None) -> None:
    client.execute_change_set(StackName=stack, ChangeSetName=change_set)
    _wait(client, stack, "stack_update_complete" if found else "stack_create_complete")


def withdraw(client: Any, stack: str, change_set: str, found: dict[str, Any] | None) -> None:
    """Delete a change set, and the empty stack that came with it."""
    client.delete_change_set(StackName=stack, ChangeSetName=change_set)
    if not found:
        client.delete_stack(StackName=stack)


def delete(client: Any, found: dict[str, Any]) -> None:
    client.delete_stack(StackName=found["StackName"])
    _wait(client, found["StackId"], "stack_delete_complete")


def _wait(client: Any, stack: str, waiter: str) -> None:
    try:
        client.get_waiter(waiter).wait(StackName=stack, WaiterConfig=PATIENCE)
    except WaiterError as error:
        causes = "; ".join(failures(client, stack)) or str(error)
        name = stack.split("/")[1] if "/" in stack else stack
        raise UserError(f"{name}: {causes}") from error


def failures(client: Any, stack: str) -> Iterator[str]:
    """Yield what failed in the last change of a stack, the newest first, and why."""
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            reason = event.get("ResourceStatusReason", "")
            if reason == "User Initiated":
                return
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                yield f"{event['LogicalResourceId']}: {reason}"
