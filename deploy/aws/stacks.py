"""The CloudFormation stacks of manifests/aws: their states, change sets and deletion."""

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
# each stack imports only what earlier ones export
ORDER = ("budget", "storage", "registry", "network", "cluster", "mlflow", "identities")
# seconds and attempts: a database or a cluster takes a quarter of an hour
PATIENCE = {"Delay": 10, "MaxAttempts": 540}
UNCHANGED = re.compile("didn't contain changes|No updates are to be performed")


class _Loader(yaml.SafeLoader):
    """Reads !Ref and other functions of CloudFormation as None; their values are not needed."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Template:
    stack: str
    body: str
    parameters: frozenset[str]
    resources: dict[str, str]  # types, by logical name


@dataclass(frozen=True)
class Change:
    """A change of one resource; a replacement deletes the old one."""

    action: str
    resource: str
    kind: str
    replacement: str  # as CloudFormation says: True, False, Conditional or nothing

    def __str__(self) -> str:
        replaced = {"True": ", replaced", "Conditional": ", perhaps replaced"}
        suffix = replaced.get(self.replacement, "")
        return f"{self.action.lower()} {self.resource} ({self.kind}){suffix}"


@dataclass(frozen=True)
class ChangeSet:
    """Changes that a stack would take; ``new`` if the stack does not exist yet."""

    stack: str
    name: str
    new: bool
    changes: list[Change]


def template(name: str) -> Template:
    body = (TEMPLATES / f"{name}.yaml").read_text()
    document = yaml.load(body, _Loader)  # noqa: S506, it is a SafeLoader
    resources = {key: value["Type"] for key, value in document["Resources"].items()}
    return Template(f"sentiment-{name}", body, frozenset(document.get("Parameters", ())), resources)


def find(client: Any, name: str) -> dict[str, Any] | None:
    """Return what CloudFormation says of a stack, or None if there is none with resources."""
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack


def require_settled(stack: dict[str, Any]) -> None:
    """Raise unless a stack can take a change."""
    name, status = stack["StackName"], stack["StackStatus"]
    if status.endswith("_IN_PROGRESS"):
        raise UserError(f"{name} is in {status}: another change is under way; wait for its end")
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise UserError(
            f"{name} is in {status}, from which nothing but its deletion leads:"
            " python -m deploy.aws down --only " + name.removeprefix("sentiment-")
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        raise UserError(f"{name} is in {status}: aws cloudformation continue-update-rollback")


def propose(
    client: Any, template: Template, stack: dict[str, Any] | None, values: dict[str, str]
) -> ChangeSet | None:
    """Create a change set and return it, or None where nothing would change.

    Parameters that are not in ``values`` keep their present value.
    """
    before = {each["ParameterKey"] for each in (stack or {}).get("Parameters", [])}
    parameters: list[dict[str, Any]] = []
    for name in sorted(template.parameters & (before | set(values))):
        new = {"ParameterValue": values[name]} if name in values else {"UsePreviousValue": True}
        parameters.append({"ParameterKey": name, **new})
    name = f"up-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    which = {"StackName": template.stack, "ChangeSetName": name}
    client.create_change_set(
        **which,
        ChangeSetType="UPDATE" if stack else "CREATE",
        TemplateBody=template.body,
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
        raise UserError(f"{template.stack}: no change set, {reason}") from error
    pages = client.get_paginator("describe_change_set").paginate(**which)
    changes = [
        _change(each["ResourceChange"]) for page in pages for each in page.get("Changes", [])
    ]
    return ChangeSet(template.stack, name, stack is None, changes)


def _change(change: dict[str, Any]) -> Change:
    return Change(
        change["Action"],
        change["LogicalResourceId"],
        change["ResourceType"],
        change.get("Replacement", ""),
    )


def execute(client: Any, change_set: ChangeSet) -> None:
    client.execute_change_set(StackName=change_set.stack, ChangeSetName=change_set.name)
    waiter = "stack_create_complete" if change_set.new else "stack_update_complete"
    _wait(client, change_set.stack, waiter)


def withdraw(client: Any, change_set: ChangeSet) -> None:
    """Delete a change set, and the empty stack that it created."""
    client.delete_change_set(StackName=change_set.stack, ChangeSetName=change_set.name)
    if change_set.new:
        client.delete_stack(StackName=change_set.stack)


def delete(client: Any, stack: dict[str, Any]) -> None:
    client.delete_stack(StackName=stack["StackName"])
    _wait(client, stack["StackId"], "stack_delete_complete")


def _wait(client: Any, stack: str, waiter: str) -> None:
    try:
        client.get_waiter(waiter).wait(StackName=stack, WaiterConfig=PATIENCE)
    except WaiterError as error:
        causes = "; ".join(failures(client, stack)) or str(error)
        name = stack.split("/")[1] if "/" in stack else stack
        raise UserError(f"{name}: {causes}") from error


def failures(client: Any, stack: str) -> Iterator[str]:
    """Yield what failed in the last change of a stack, newest first, and why."""
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            reason = event.get("ResourceStatusReason", "")
            if reason == "User Initiated":
                return
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                yield f"{event['LogicalResourceId']}: {reason}"
