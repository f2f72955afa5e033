"""KServe's REST server with our limits, errors and versions."""

from typing import Any

from fastapi import FastAPI, Request, Response
from kserve.errors import ModelNotFound
from kserve.protocol.rest.server import RESTServer
from kserve.protocol.rest.v1_endpoints import V1Endpoints
from kserve.protocol.rest.v2_endpoints import V2Endpoints
from timing_asgi import TimingMiddleware

from serving import errors
from serving.http import routes
from serving.http.admission import Gate
from serving.http.protocol import Protocol
from serving.in_flight import Load
from serving.metrics import RequestMetrics


class Endpoints(V2Endpoints):
    """Leaves the body of infer to the data plane, and knows the one version that is served."""

    async def infer(
        self,
        raw_request: Request,
        raw_response: Response,
        model_name: str,
        model_version: str | None = None,
    ) -> Any:
        self._check_version(model_name, model_version)
        body = await raw_request.body()
        return await super().infer(raw_request, raw_response, model_name, body)

    async def model_metadata(self, model_name: str, model_version: str | None = None) -> Any:
        self._check_version(model_name, model_version)
        metadata = await super().model_metadata(model_name)
        metadata.versions = [self.dataplane.get_model_from_registry(model_name).version]
        return metadata

    async def model_ready(self, model_name: str, model_version: str | None = None) -> Any:
        self._check_version(model_name, model_version)
        return await super().model_ready(model_name)

    def _check_version(self, name: str, version: str | None) -> None:
        if version not in (None, self.dataplane.get_model_from_registry(name).version):
            raise ModelNotFound(f"{name} version {version}")


class RestServer(RESTServer):
    def __init__(self, *args: Any, load: Load, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load = load
        self.config.http = Protocol
        self.config.ws = "none"

    def _add_middlewares(self, app: FastAPI) -> None:
        super()._add_middlewares(app)
        # it looks for the route once more, to time each request for a log line that is off
        app.user_middleware = [m for m in app.user_middleware if m.cls is not TimingMiddleware]
        app.add_middleware(Gate, load=self._load)
        app.add_middleware(RequestMetrics)

    def _register_endpoints(self, app: FastAPI) -> None:
        routes.install(app, V1Endpoints(self.dataplane), Endpoints(self.dataplane))
        super()._register_endpoints(app)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        errors.install(app)
