"""Types for command lines of servers: a value out of range is a usage error that names its flag."""

from argparse import ArgumentTypeError


def port(text: str) -> int:
    """Parse a port that can be listened on and told to others."""
    value = int(text)
    if not 0 < value < 65_536:
        raise ArgumentTypeError(f"{text} is not a port from 1 to 65535")
    return value
