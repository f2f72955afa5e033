"""An HTTP server before an S3 emulator that lets pass what a role's policies allow.

It knows the requests of a download, GET and HEAD, and refuses every other method.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.aws_policies import Policy, allowed

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Gate(ThreadingHTTPServer):
    """``key`` is the ARN of the KMS key that encrypts the objects; ``asked`` what was asked."""

    daemon_threads = True

    def __init__(self, s3: str, policies: list[Policy], key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.s3, self.policies, self.key = s3, policies, key
        self.asked: list[tuple[str, str, dict[str, str], bool]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def permits(self, path: str) -> bool:
        parts = urlsplit(path)
        bucket, _, key = parts.path.lstrip("/").partition("/")
        arn = f"arn:aws:s3:::{bucket}"
        if not key:  # HeadBucket, ListObjects
            prefix = parse_qs(parts.query).get("prefix")
            return self._allowed("s3:ListBucket", arn, {"s3:prefix": prefix[0]} if prefix else {})
        via = {
            "kms:ViaService": "s3.us-east-1.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": f"{arn}/{key}",
        }
        reads = self._allowed("s3:GetObject", f"{arn}/{key}", {})
        return reads and self._allowed("kms:Decrypt", self.key, via)

    def _allowed(self, action: str, resource: str, context: dict[str, str]) -> bool:
        answer = allowed(self.policies, action, resource, context)
        self.asked.append((action, resource, context, answer))
        return answer


class _Handler(BaseHTTPRequestHandler):
    server: Gate
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.server.permits(self.path):
            self._send(403, {"Content-Type": "application/xml"}, DENIED)
            return
        kept = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        request = urllib.request.Request(
            self.server.s3 + self.path, headers=kept, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                self._send(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            self._send(error.code, dict(error.headers), error.read())

    do_HEAD = do_GET  # noqa: N815 - http.server calls it

    def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        skipped = {"connection", "transfer-encoding", "date", "server"}
        if self.command != "HEAD":
            skipped.add("content-length")
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            if name.lower() not in skipped:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gate(s3: str, policies: list[Policy], key: str) -> Iterator[Gate]:
    with Gate(s3, policies, key) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
