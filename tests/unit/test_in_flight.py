"""Slots and bytes of requests in flight, and of bodies that are arriving."""

from contextlib import ExitStack

import pytest

from serving.errors import OverloadError
from serving.in_flight import SMALL_BODY, InFlight
from serving.limits import RequestLimits

LARGE = SMALL_BODY + 1


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight(RequestLimits(max_in_flight=8, max_in_flight_bytes=10 * LARGE))


def test_large_requests_leave_half_of_the_slots(in_flight):
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(in_flight.admit(LARGE))
        with pytest.raises(OverloadError, match="4 requests are in flight"):
            in_flight.check(LARGE)
        for _ in range(4):
            stack.enter_context(in_flight.admit(SMALL_BODY))
        with pytest.raises(OverloadError, match="8 requests are in flight"):
            in_flight.check(0)
    assert in_flight.requests == 0


def test_bytes_of_large_requests_are_bounded(in_flight):
    with in_flight.admit(6 * LARGE):
        with pytest.raises(OverloadError, match="bytes are in flight"):
            in_flight.check(5 * LARGE)
        in_flight.check(4 * LARGE)
    in_flight.check(10 * LARGE)


def test_large_bodies_leave_half_of_the_room_while_they_arrive(in_flight):
    in_flight.reserve(0, 20 * LARGE)
    with pytest.raises(OverloadError, match="bytes of other bodies are arriving"):
        in_flight.reserve(SMALL_BODY, LARGE)
    for _ in range(20):
        in_flight.reserve(0, SMALL_BODY)
    with pytest.raises(OverloadError, match="bytes of other bodies are arriving"):
        in_flight.reserve(0, SMALL_BODY)
    in_flight.reserve(20 * LARGE, 0)
    in_flight.reserve(0, LARGE)
