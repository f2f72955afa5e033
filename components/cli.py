"""The body of every command line, and the types of their flags."""

import logging
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable

from components.errors import UnavailableError, UserError, describe

# for NO_PROXY; urllib would need [::1], too, which httpx 0.28 takes for a wrong port
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def run(command: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` as the body of a command line and return the exit code.

    An error of the user or of the environment is one line. Any other exception is a defect of
    this code and keeps its traceback.
    """
    bypass_proxies()
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger(command).setLevel(logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # the error at the end says it once
    try:
        return work() or 0
    except (UserError, UnavailableError) as error:
        return _report(command, str(error), error.exit_code)
    except OSError as error:
        return _report(command, describe(error), UserError.exit_code)
    except MemoryError as error:
        message = ": ".join(filter(None, ("not enough memory", str(error))))
        return _report(command, message, UserError.exit_code)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 130


def _report(command: str, message: str, exit_code: int) -> int:
    print(f"{command}: error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


def bypass_proxies() -> None:
    """Exempt this machine from the proxies of the environment, for this process and its children.

    Libraries read ``no_proxy`` or ``NO_PROXY`` first, so both get the hosts. ``*`` exempts all
    hosts, but only where it stands alone.
    """
    lower, upper = os.environ.get("no_proxy"), os.environ.get("NO_PROXY")
    for name, value in (("no_proxy", lower or upper or ""), ("NO_PROXY", upper or lower or "")):
        hosts = [host for each in value.split(",") if (host := each.strip())]
        if hosts != ["*"]:
            os.environ.update({name: ",".join(dict.fromkeys([*hosts, *LOOPBACK]))})


# types of flags: argparse reports a value out of range with the name of its flag


def fraction(text: str) -> float:
    """Parse a number strictly between 0 and 1."""
    value = float(text.removesuffix("%"))
    if text.endswith("%") or not 0 < value < 1:
        raise ArgumentTypeError(fraction_error(text))
    return value


def fraction_error(text: str) -> str:
    """Return why ``text`` is no fraction and, of a percentage, the fraction that is meant."""
    value = float(text.removesuffix("%"))
    hint = f"; {value:g}% is {value / 100:g}" if 1 <= value <= 100 or text.endswith("%") else ""
    return f"{text} is not between 0 and 1{hint}"


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not a positive number")
    return value


def count(text: str) -> int:
    """Parse a whole number from 1 up."""
    value = float(text)
    if value < 1 or not value.is_integer():
        raise ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(value)


def port(text: str) -> int:
    """Parse a port from 1 to 65535."""
    value = int(text)
    if not 0 < value < 65_536:
        raise ArgumentTypeError(f"{text} is not a port from 1 to 65535")
    return value
