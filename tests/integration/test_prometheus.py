"""Errors of the client of Prometheus: the user's, or the environment's."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.errors import UnavailableError, UserError
from deploy.prometheus import Prometheus
from tests.conftest import free_port

REFUSED = '{"status": "error", "errorType": "bad_data", "error": "parse error"}'
BUSY = '{"status": "error", "errorType": "unavailable", "error": "too many queries"}'


@pytest.fixture
def serve():
    """Return a function that starts a server with one response, and returns its address."""
    servers = []

    def serve(code: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("code", "body", "error", "words"),
    [
        (400, REFUSED, UserError, "status 400, parse error"),
        (401, "Unauthorized", UserError, "status 401, and no answer of Prometheus's API"),
        (200, "<html>a page</html>", UserError, "status 200, and no answer"),
        (200, "[]", UserError, "status 200, and no answer"),
        (503, BUSY, UnavailableError, "status 503, too many queries"),
        (502, "<html>Bad Gateway</html>", UnavailableError, "status 502, and no answer"),
    ],
)
def test_errors_are_sorted_by_fault(serve, code, body, error, words):
    address = serve(code, body)
    with pytest.raises(error, match=f"Prometheus at {address}: {words}"):
        Prometheus(address).ask("up")


def test_values_are_keyed_by_labels(serve):
    series = '{"metric": {"b": "2", "a": "1"}, "value": [0, "3.5"]}'
    body = f'{{"status": "success", "data": {{"resultType": "vector", "result": [{series}]}}}}'
    assert Prometheus(serve(200, body)).ask("x") == {(("a", "1"), ("b", "2")): 3.5}


def test_dead_server_is_unavailable():
    with pytest.raises(UnavailableError, match="refused"):
        Prometheus(f"http://127.0.0.1:{free_port()}").ask("up")


def test_wrong_address_is_the_users():
    with pytest.raises(UserError, match="prometheus:9090"):
        Prometheus("prometheus:9090").ask("up")
