"""Serve the web page at ``/``: a few files, read once, that load nothing from other hosts.

A client that does not ask for HTML before JSON gets KServe's answer at ``/``.
"""

import hashlib
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.http.accept import choose
from serving.http.routes import TemplateRoute

_FOLDER = Path(__file__).parents[1] / "page"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = [
    "default-src 'none'",
    *("script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
    *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    "require-trusted-types-for 'script'",
]
_HEADERS = {
    "cache-control": "no-cache",  # browsers ask each time, and get a 304 for the same file
    "content-security-policy": "; ".join(_POLICY),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


_VARY = {"vary": "accept"}
_INDEX = "index.html"
_HTML, _JSON = "text/html", "application/json"


class _File:
    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._tag = f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'
        self._headers = _HEADERS | {"content-type": _TYPES[path.suffix], "etag": self._tag}
        if path.name == _INDEX:
            self._headers |= _VARY

    def respond(self, request: Request) -> Response:
        cached = request.headers.get("if-none-match", "").split(",")
        if self._tag in (each.strip().removeprefix("W/") for each in cached):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers)


def install(app: FastAPI) -> None:
    """Add the page's routes; before KServe's, so that the page is taken at ``/``."""
    files = {path.name: _File(path) for path in sorted(_FOLDER.iterdir())}
    index = files.pop(_INDEX)

    async def respond_index(request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        # KServe's client and curl take anything
        if choose(accept, [_JSON, _HTML]) == _HTML:
            return index.respond(request)
        return JSONResponse({"status": "alive"}, headers=_VARY)

    async def respond_file(request: Request) -> Response:
        if file := files.get(request.path_params["name"]):
            return file.respond(request)
        raise HTTPException(HTTPStatus.NOT_FOUND)

    for address, respond in (("/", respond_index), ("/page/{name}", respond_file)):
        app.router.routes.append(TemplateRoute(address, respond, methods=["GET"]))
