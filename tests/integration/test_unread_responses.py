"""Clients that do not read their responses."""

import contextlib
import json
import socket

import pytest

from tests.serving import EXPLAIN, PREDICT, Server, head, serving, wait_until

MANY = json.dumps({"instances": [""] * 256}).encode()
LARGEST = json.dumps({"instances": ["a b " * 25_000] * 4, "parameters": {"tokens": True}}).encode()
SENT = {
    "pipelined predictions": (head(PREDICT, len(MANY)) + MANY) * 300,
    "an explanation": head(EXPLAIN, len(LARGEST)) + LARGEST,
}


@pytest.fixture(scope="module")
def small_server(trained, tmp_path_factory):
    flags = ["--max_in_flight", "1"]
    with serving(trained.model, tmp_path_factory.mktemp("unread"), *flags) as server:
        yield server


def send_until_full(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes; it takes no more while a response cannot be written."""
    connection.settimeout(2)
    with contextlib.suppress(TimeoutError):
        connection.sendall(data)


def is_open(server: Server, port: int) -> bool:
    """Return whether the server still has the connection of a client's port."""
    return any(each.raddr and each.raddr.port == port for each in server.process().connections())


@pytest.mark.parametrize("data", SENT.values(), ids=SENT)
def test_a_client_that_does_not_read_is_disconnected(small_server, data):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(small_server.host)
        send_until_full(connection, data)
        port = connection.getsockname()[1]
        wait_until(lambda: not is_open(small_server, port), 30)
        small_server.wait_for_in_flight(0)
    assert small_server.predict(["good"])
