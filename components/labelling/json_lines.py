"""Read JSON Lines whose lines are objects."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from components.errors import UserError


def read(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object with its place for messages; blank lines are left out.

    Raises:
        UserError: a line is no JSON object; the message names the file and the line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not JSON ({error})") from error
        if not isinstance(value, dict):
            raise UserError(f"{where}: not an object")
        yield where, value
