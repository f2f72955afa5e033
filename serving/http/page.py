"""Serve the web page at ``/``: a few files, read once, that load nothing from other hosts."""

import hashlib
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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


def install(app: FastAPI) -> None:
    """Add the page's routes; before KServe's, so that the page is taken at ``/``."""
    for path in sorted(_FOLDER.iterdir()):
        address = "/" if path.name == "index.html" else f"/page/{path.name}"
        app.router.routes.append(_route(address, path))


def _route(address: str, path: Path) -> Route:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = _HEADERS | {"content-type": _TYPES[path.suffix], "etag": tag}

    async def respond(request: Request) -> Response:
        cached = request.headers.get("if-none-match", "").split(",")
        if tag in (each.strip().removeprefix("W/") for each in cached):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return Route(address, respond, methods=["GET"], name=path.name)
