"""KServe's REST server with our limits, errors, routes and page."""

from typing import Any

from fastapi import FastAPI
from kserve.protocol.rest.server import RESTServer
from kserve.protocol.rest.v1_endpoints import V1Endpoints

from serving import errors, kserve_patches
from serving.http import page, routes
from serving.http.admission import Admission
from serving.http.drain import DrainingServer
from serving.http.long_requests import LongRequests
from serving.http.protocol import HttpProtocol
from serving.http.routes import VersionedEndpoints
from serving.in_flight import InFlight
from serving.metrics import RequestMetrics


class RestServer(RESTServer):
    """KServe's server with our parts, listening by IPv6 too.

    KServe listens on 0.0.0.0 alone (kserve 0.21.0), where an IPv6-only cluster does not reach it.
    Without a host, uvicorn listens on all addresses, and on those of IPv4 where there is no IPv6.
    """

    def __init__(
        self, *args: Any, in_flight: InFlight, description: dict[str, Any], **kwargs: Any
    ) -> None:
        """``description`` is the document at ``/openapi.json``."""
        super().__init__(*args, **kwargs)
        self._in_flight = in_flight
        self._description = description
        self.config.host = None
        self.config.http = HttpProtocol
        self.config.ws = "none"
        self._server = DrainingServer(self.config)

    def _add_middlewares(self, app: FastAPI) -> None:
        super()._add_middlewares(app)
        kserve_patches.remove_timing(app)
        kserve_patches.remove_telemetry(app)
        app.add_middleware(LongRequests, in_flight=self._in_flight)
        app.add_middleware(Admission, in_flight=self._in_flight)
        app.add_middleware(RequestMetrics)

    def _register_endpoints(self, app: FastAPI) -> None:
        page.install(app)
        routes.install_description(app, self._description)
        routes.install(app, V1Endpoints(self.dataplane), VersionedEndpoints(self.dataplane))
        super()._register_endpoints(app)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        errors.install(app)
