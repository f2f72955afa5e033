"""A forward of a port starts again, and tells its own losses from those of the server."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from components.errors import UnavailableError
from tests.conftest import free_port, running
from tools.cluster.forward import Forward, Target, forwarding

TARGET = Target("sentiment", "gateway", 5000)
# stands in for kubectl port-forward: it prints what the real one prints, and copies bytes
STAND_IN = """\
import os, re, socket, sys, threading
arguments = sys.argv[1:]
expected = ["--context=here", "port-forward", "--namespace=sentiment", "service/gateway"]
assert arguments[:-1] == expected, arguments
local, _, remote = arguments[-1].partition(":")
assert remote == "5000"
if "REFUSES" in os.environ:
    sys.exit(print('Error from server (NotFound): services "gateway" not found', file=sys.stderr))
open(os.environ["PIDS"], "a").write(f"{os.getpid()}\\n")
listener = socket.create_server(("127.0.0.1", int(local)))
print(f"Forwarding from 127.0.0.1:{local} -> 15000", flush=True)
def copy(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.close()
while True:
    client, _ = listener.accept()
    print(f"Handling connection for {local}", flush=True)
    try:
        server = socket.create_connection(("127.0.0.1", int(os.environ["SERVER"])))
    except OSError:
        print(f"E1129 portforward.go:424] error forwarding port 15000 to pod x: connect: "
              "connection refused", file=sys.stderr, flush=True)
        client.close()
        continue
    threading.Thread(target=copy, args=(client, server), daemon=True).start()
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    (tmp_path / "kubectl.py").write_text(STAND_IN)
    script = tmp_path / "bin/kubectl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {tmp_path}/kubectl.py "$@"\n')
    script.chmod(0o755)
    port = free_port()
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("SERVER", str(port))
    return port


def http(port: int, folder: Path):
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return running(command, f"http://127.0.0.1:{port}/", folder)


def last_pid(folder: Path) -> int:
    return int((folder / "pids").read_text().split()[-1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def get(forward: Forward) -> int | None:
    try:
        return requests.get(forward.address, timeout=5).status_code
    except requests.RequestException:
        return None


def test_a_forward_starts_again_on_the_same_port(server, tmp_path):
    with http(server, tmp_path / "http"), forwarding("here", TARGET) as forward:
        assert get(forward) == 200
        first = last_pid(tmp_path)
        os.kill(first, signal.SIGKILL)  # as kubectl ends when its pod is replaced
        wait_until(lambda: get(forward) == 200)
        assert last_pid(tmp_path) != first
    assert get(forward) is None  # it ended with the block


def test_a_request_while_kubectl_is_gone_was_lost_by_the_forward(server, tmp_path):
    with http(server, tmp_path / "http"), forwarding("here", TARGET) as forward:
        since = time.monotonic()
        os.kill(last_pid(tmp_path), signal.SIGKILL)
        assert get(forward) is None
        assert forward.lost_request(since)
        wait_until(lambda: get(forward) == 200)
        assert not forward.lost_request(time.monotonic())


def test_a_server_that_refuses_lost_the_request(server, tmp_path):
    with forwarding("here", TARGET) as forward:
        since = time.monotonic()
        assert get(forward) is None
        assert not forward.lost_request(since)


def test_a_service_that_is_missing_is_named(server, monkeypatch):
    monkeypatch.setenv("REFUSES", "1")
    forward = Forward("here", TARGET)
    with pytest.raises(UnavailableError, match=re.escape('services "gateway" not found')):
        forward.wait(5)
    forward.close()
