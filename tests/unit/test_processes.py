"""Free ports, and whether a server answers."""

import socket
import threading

import pytest

from components.io import processes
from tests.conftest import needs_ipv6


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_taken_port_is_not_free(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        assert not processes.free(port)
    assert processes.free(port)


def test_ports_are_free_without_ipv6(monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    ports = processes.free_ports(3)
    assert len(set(ports)) == 3
    assert all(map(processes.free, ports))


def test_other_protocol_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=greet, daemon=True).start()
        assert not processes.answers(f"http://127.0.0.1:{server.getsockname()[1]}/")
