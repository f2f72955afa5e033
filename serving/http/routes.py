"""The routes of requests with a body, without FastAPI's handling of arguments and responses.

KServe's handlers read the request themselves, so FastAPI's work around them is in vain; it takes as
long as scoring the text.
"""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from kserve.protocol.rest.v1_endpoints import V1Endpoints
from kserve.protocol.rest.v2_endpoints import V2Endpoints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope


class OrjsonResponse(JSONResponse):
    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class TemplateRoute(Route):
    """Put the route into the scope, as FastAPI's routes do, for its template in the metrics.

    The route takes each method of its path, and answers others than its own with a 405: a GET of
    ``/v1/models/x:predict`` would else ask for a model named ``x:predict``.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        match = Match.NONE if match is Match.NONE else Match.FULL
        return match, {**child_scope, "route": self}


class VersionedEndpoints(V2Endpoints):
    """KServe's v2 handlers for one model version, with the data plane's decoding of bodies.

    The metadata have the names of the classes, and whether the server takes feedback.

    KServe answers any request that names a version with a 501 (kserve#4655, seen with 0.21.0).
    """

    async def infer(
        self,
        raw_request: Request,
        raw_response: Response,
        model_name: str,
        model_version: str | None = None,
    ) -> Any:
        self.dataplane.check_version(model_name, model_version)
        body = await raw_request.body()
        return await super().infer(raw_request, raw_response, model_name, body)

    async def model_metadata(self, model_name: str, model_version: str | None = None) -> Any:
        self.dataplane.check_version(model_name, model_version)
        metadata = await super().model_metadata(model_name)
        model = self.dataplane.get_model_from_registry(model_name)
        metadata.versions = [model.version]
        described = metadata.model_dump()
        described["parameters"] = {"feedback": model.takes_feedback}
        for output in described["outputs"]:  # KServe's form of a tensor has no room for names
            if output["name"] == "probabilities":
                output["parameters"] = {"classes": model.classes}
        return OrjsonResponse(described)

    async def model_ready(self, model_name: str, model_version: str | None = None) -> Any:
        self.dataplane.check_version(model_name, model_version)
        return await super().model_ready(model_name)


def install(app: FastAPI, v1: V1Endpoints, v2: V2Endpoints) -> None:
    """Add the routes before KServe's own; the first route that matches a request is taken."""

    async def predict(request: Request) -> Response:
        response: Response = await v1.predict(request.path_params["model_name"], request)
        return response

    async def explain(request: Request) -> Response:
        response: Response = await v1.explain(request.path_params["model_name"], request)
        return response

    async def feedback(request: Request) -> Response:
        model = await v1.dataplane.get_model(request.path_params["model_name"])
        model.require_capture()
        items = v1.dataplane.decode_feedback(await request.body(), model.classes)
        model.accept_feedback(items)
        return OrjsonResponse({"accepted": len(items)}, HTTPStatus.ACCEPTED)

    async def infer(request: Request) -> Response:
        head = Response()
        del head.headers["content-length"]  # the handler adds its headers to the others
        result = await v2.infer(request, head, **request.path_params)
        if result is head:
            kind = "application/octet-stream"  # as Triton has it for JSON with raw data behind it
            return Response(head.body, headers=dict(head.headers), media_type=kind)
        return OrjsonResponse(result.model_dump(), headers=dict(head.headers))

    model = "/v2/models/{model_name}"
    ours = [  # each is matched against the path in turn, so the most frequent is the first
        ("/v1/models/{model_name}:predict", predict),
        (f"{model}/infer", infer),
        (f"{model}/versions/{{model_version}}/infer", infer),
        ("/v1/models/{model_name}:explain", explain),
        ("/v1/models/{model_name}:feedback", feedback),
    ]
    app.router.routes[:0] = [TemplateRoute(path, run, methods=["POST"]) for path, run in ours]


def install_description(app: FastAPI, document: dict[str, Any]) -> None:
    """Add ``/openapi.json`` before FastAPI's own."""

    async def describe(request: Request) -> Response:
        return OrjsonResponse(document)

    app.router.routes.insert(0, TemplateRoute("/openapi.json", describe, methods=["GET"]))
