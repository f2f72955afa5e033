"""Limits on a single request and on all requests in flight."""

import argparse
from dataclasses import dataclass, field, fields


def _limit(default: int, meaning: str) -> int:
    value: int = field(default=default, metadata={"help": f"{meaning} (default: {default})"})
    return value


@dataclass(frozen=True)
class RequestLimits:
    """Each limit is a flag of the same name."""

    # 32 reviews of 5,000 characters, each character escaped as \uXXXX, are 960 kB
    max_body_bytes: int = _limit(2**20, "bytes of a body, or of a gRPC message")
    max_body_seconds: int = _limit(10, "seconds in which a body must arrive")
    min_body_rate: int = _limit(4096, "bytes a second of a body, after its first two seconds")
    max_instances: int = _limit(256, "reviews, or items of feedback, in a request")
    max_characters: int = _limit(100_000, "characters of a review")
    max_request_characters: int = _limit(500_000, "characters of all reviews of a request")
    max_in_flight: int = _limit(128, "requests in flight; the server refuses more with a 503")
    # a byte takes about 0.15 us to process: a full server is busy for little more than a second
    max_in_flight_bytes: int = _limit(2**23, "bytes of bodies over 64 KiB in flight")


def add_flags(group: argparse._ArgumentGroup) -> None:
    for limit in fields(RequestLimits):
        group.add_argument(
            f"--{limit.name}", type=_positive, default=limit.default, help=limit.metadata["help"]
        )


def from_flags(args: argparse.Namespace) -> RequestLimits:
    """Return the limits that the command line sets.

    Raises:
        ValueError: two limits contradict each other.
    """
    names = [limit.name for limit in fields(RequestLimits)]
    limits = RequestLimits(**{name: getattr(args, name) for name in names})
    if limits.max_in_flight_bytes < limits.max_body_bytes:
        raise ValueError("--max_in_flight_bytes is less than --max_body_bytes")
    return limits


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error


def _positive(text: str) -> int:
    value = whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value
