"""Evaluate IAM policies as AWS documents it, for the elements that ours use; others raise."""

import re
from typing import Any

Policy = dict[str, Any]
ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(pattern: str, text: str, flags: int = re.NOFLAG) -> bool:
    parts = ({"*": ".*", "?": "."}.get(each) or re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), text, flags | re.DOTALL) is not None


def _arn_like(pattern: str, text: str) -> bool:
    parts, texts = pattern.split(":", 5), text.split(":", 5)
    return len(parts) == len(texts) and all(map(_like, parts, texts))


OPERATORS = {
    "ArnLike": _arn_like,
    "Bool": lambda wanted, text: str(wanted).lower() == text,
    "StringEquals": lambda wanted, text: wanted == text,
    "StringLike": _like,
}


def _conditions_hold(conditions: dict[str, dict[str, Any]], context: dict[str, str]) -> bool:
    """Return whether all conditions hold; a condition on a key that the request lacks does not."""
    return all(
        key in context and any(OPERATORS[operator](each, context[key]) for each in _list(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def allowed(policies: list[Policy], action: str, resource: str, context: dict[str, str]) -> bool:
    """Tell whether a statement allows the action and none denies it."""
    effects = set()
    for statement in (each for policy in policies for each in _list(policy["Statement"])):
        if unknown := set(statement) - ELEMENTS:
            raise NotImplementedError(unknown)
        if (
            any(_like(each, action, re.IGNORECASE) for each in _list(statement["Action"]))
            and any(_like(each, resource) for each in _list(statement.get("Resource", "*")))
            and _conditions_hold(statement.get("Condition", {}), context)
        ):
            effects.add(statement["Effect"])
    return effects == {"Allow"}
