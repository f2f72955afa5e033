"""The way to predictions, without what FastAPI does around a handler.

KServe's handlers read the request themselves, so that FastAPI finds out their arguments and
checks their answers for nothing; that takes as long as the text does.
"""

from typing import Any

import orjson
from fastapi import FastAPI
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest import v1_endpoints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope


class Answer(JSONResponse):
    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class Path(Route):
    """Tells its template, as FastAPI's do; see :class:`serving.metrics.RequestMetrics`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def install(app: FastAPI, plane: DataPlane) -> None:
    """Let v1 requests be answered so; the first route that matches is taken."""
    v1_endpoints.ORJSONResponse = Answer  # KServe's class warns of itself at each answer
    endpoints = v1_endpoints.V1Endpoints(plane)

    async def predict(request: Request) -> Response:
        answer: Response = await endpoints.predict(request.path_params["model_name"], request)
        return answer

    app.router.routes.insert(0, Path("/v1/models/{model_name}:predict", predict, methods=["POST"]))
