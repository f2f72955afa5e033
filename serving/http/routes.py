"""The ways to a prediction, without what FastAPI does around a handler.

KServe's handlers read the request themselves, so that FastAPI finds out their arguments and
checks their answers for nothing; that takes as long as the text does.
"""

from typing import Any

import orjson
from fastapi import FastAPI
from kserve.protocol.rest import v1_endpoints
from kserve.protocol.rest.v1_endpoints import V1Endpoints
from kserve.protocol.rest.v2_endpoints import V2Endpoints
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


def install(app: FastAPI, v1: V1Endpoints, v2: V2Endpoints) -> None:
    """Let requests be answered so; the first route that matches is taken."""
    v1_endpoints.ORJSONResponse = Answer  # KServe's class warns of itself at each answer

    async def predict(request: Request) -> Response:
        answer: Response = await v1.predict(request.path_params["model_name"], request)
        return answer

    async def infer(request: Request) -> Response:
        head = Response()
        del head.headers["content-length"]  # the handler adds to it
        answer = await v2.infer(request, head, **request.path_params)
        if answer is head:
            return Response(head.body, headers=dict(head.headers))
        return Answer(answer.model_dump(), headers=dict(head.headers))

    model = "/v2/models/{model_name}"
    for path, handler in (
        ("/v1/models/{model_name}:predict", predict),
        (f"{model}/infer", infer),
        (f"{model}/versions/{{model_version}}/infer", infer),
    ):
        app.router.routes.insert(0, Path(path, handler, methods=["POST"]))
