"""Requests to this machine under the proxies of a company's network: none goes to a proxy."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from urllib.error import URLError

import boto3
import httpx
import pytest
import requests

from components import cli
from deploy.cluster import Cluster
from deploy.overlay import Predictor
from pipelines.local import s3_client
from serving.start import _bypass_proxies
from tests.cluster import base_service
from tests.conftest import REPO, needs_ipv6

HOSTS = ["127.0.0.1", "localhost", pytest.param("[::1]", marks=needs_ipv6)]
CLOSED = "http://127.0.0.1:9"
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUCKETS = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("x-model-version", "1")
        self.send_header("content-length", str(len(BUCKETS)))
        self.end_headers()
        self.wfile.write(BUCKETS)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Server(("", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(autouse=True)
def proxies(monkeypatch) -> None:
    """A proxy that refuses connections, for each scheme."""
    for scheme in ("http", "https", "all"):
        monkeypatch.setenv(f"{scheme}_proxy", CLOSED)
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", CLOSED)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "corp.example")  # restored after the test
        monkeypatch.delenv(name)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which keeps the proxies of its first use


def test_the_proxy_is_in_use(port):
    """Without our code each library takes the proxy."""
    address = f"http://127.0.0.1:{port}"
    with pytest.raises(URLError):
        urllib.request.urlopen(address, timeout=5)
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(address, timeout=5)


@pytest.mark.parametrize("host", HOSTS)
def test_ready_check_takes_no_proxy(port, host):
    program = "import sys; from components.io.processes import answers; assert answers(sys.argv[1])"
    command = [sys.executable, "-c", program, f"http://{host}:{port}/"]
    subprocess.run(command, cwd=REPO, check=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_commands_take_no_proxy(port, host, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    address = f"http://{host}:{port}"
    child = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"

    def work() -> None:
        assert urllib.request.urlopen(address, timeout=5).status == 200
        assert requests.get(address, timeout=5).ok
        assert boto3.client("s3", endpoint_url=address).list_buckets()["Buckets"] == []
        subprocess.run([sys.executable, "-c", child, address], check=True)

    assert cli.run("x", work) == 0


@pytest.mark.parametrize("library", [requests, httpx])
@pytest.mark.parametrize("host", HOSTS)
def test_libraries_read_the_exemption(port, library, host):
    cli.bypass_proxies()
    assert library.get(f"http://{host}:{port}", timeout=5).status_code == 200


def test_commands_keep_the_proxy_for_others(port, capsys):
    assert cli.run("x", lambda: requests.get("http://example.org", timeout=5) and None) == 1
    assert "ProxyError" in capsys.readouterr().err


def test_local_s3_takes_no_proxy(port):
    environment = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    assert s3_client(environment).list_buckets()["Buckets"] == []


def test_port_forward_takes_no_proxy(port, tmp_path, monkeypatch):
    """A script in place of kubectl names the port of the predictor."""
    script = tmp_path / "kubectl"
    line = f"Forwarding from 127.0.0.1:{port} -> 8080"
    script.write_text(f"#!/bin/sh\necho '{line}'\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    answer = Cluster(base_service(), pauses=()).post(Predictor("v1", "1", {}), "/", {})
    assert answer.headers["x-model-version"] == "1"


LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize("bypass", [cli.bypass_proxies, _bypass_proxies])
@pytest.mark.parametrize(
    ("given", "lower", "upper"),
    [
        ({}, LOOPBACK, LOOPBACK),
        ({"NO_PROXY": "a, .b"}, f"a,.b,{LOOPBACK}", f"a,.b,{LOOPBACK}"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"no_proxy": "", "NO_PROXY": "b"}, f"b,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"no_proxy": "127.0.0.1"}, *2 * ("127.0.0.1,localhost,::1",)),
    ],
)
def test_exempted_hosts_stay(monkeypatch, bypass, given, lower, upper):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        bypass()
        assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (lower, upper)


@pytest.mark.parametrize("bypass", [cli.bypass_proxies, _bypass_proxies])
def test_exemption_of_all_hosts_stays(monkeypatch, bypass):
    monkeypatch.setenv("no_proxy", "*")
    bypass()
    assert urllib.request.proxy_bypass("example.org")
