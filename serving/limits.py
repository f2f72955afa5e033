"""What one request may ask for, and how much may be in flight."""

import argparse
from dataclasses import dataclass, field, fields


def _limit(default: int, meaning: str) -> int:
    value: int = field(default=default, metadata={"help": f"{meaning} (default: {default})"})
    return value


@dataclass(frozen=True)
class Limits:
    """Each is a flag of the same name."""

    # 32 reviews of 5,000 characters, each character escaped as \uXXXX, are 960 kB
    max_body_bytes: int = _limit(2**20, "bytes of a body, or of a gRPC message")
    max_body_seconds: int = _limit(10, "seconds that a body may take to arrive")
    max_instances: int = _limit(256, "reviews in a request")
    max_characters: int = _limit(100_000, "characters of a review")
    max_request_characters: int = _limit(500_000, "characters of all reviews of a request")
    max_in_flight: int = _limit(128, "requests in flight; those beyond are answered 503")
    # a byte costs about 0.15 us, so that nobody waits for much longer than a second
    max_in_flight_bytes: int = _limit(2**23, "bytes of the bodies in flight")


def add_flags(group: argparse._ArgumentGroup) -> None:
    for each in fields(Limits):
        group.add_argument(
            f"--{each.name}", type=_count, default=each.default, help=each.metadata["help"]
        )


def from_flags(args: argparse.Namespace) -> Limits:
    """Return the limits that were asked for.

    Raises:
        ValueError: they contradict each other.
    """
    limits = Limits(**{each.name: getattr(args, each.name) for each in fields(Limits)})
    if limits.max_in_flight_bytes < limits.max_body_bytes:
        raise ValueError("--max_in_flight_bytes is less than --max_body_bytes")
    return limits


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value
