"""Run other programs; the failure of one is an error of one line."""

import os
import subprocess

from components.errors import UserError


def run(*command: str, **environment: str) -> None:
    """Run a program whose output goes to the terminal.

    Raises:
        UserError: the program failed or is not installed; its own message is on the terminal.
    """
    try:
        code = subprocess.run(command, env=os.environ | environment).returncode
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed") from None
    if code:
        raise UserError(f"{' '.join(command)}: exit code {code}")


def output(*command: str, stdin: str | None = None) -> str:
    """Return what a program prints.

    Raises:
        UserError: the program failed or is not installed.
    """
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed") from None
    if result.returncode:
        raise UserError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def succeeds(*command: str) -> bool:
    """Tell whether a program ends with exit code 0; its output is dropped."""
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed") from None
