"""grpc.health.v1: whether the model answers requests, and not while the server drains."""

import asyncio
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer
from kserve.protocol.dataplane import DataPlane

from serving.errors import UnknownServiceError

INFERENCE = "inference.GRPCInferenceService"
_SERVICES = ("", INFERENCE)  # "" is the whole server


class Health(HealthServicer):
    """Checks and watches.

    The library's own servicer keeps a copy of each status, forgets all clients that watch a
    service as soon as one of them leaves, and ends no watch when the server stops
    (grpcio-health-checking 1.81.1).
    """

    def __init__(self, data_plane: DataPlane) -> None:
        self._data_plane = data_plane
        self._draining = False
        self._changed = asyncio.Event()

    def drain(self) -> None:
        """Tell that the server does not serve from now on, and end each watch."""
        self._draining = True
        self.announce()

    def announce(self) -> None:
        """Have each watch look whether the status has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802
        """Return the status of a service.

        Raises:
            UnknownServiceError: there is no such service; NOT_FOUND.
        """
        status = await self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise UnknownServiceError(f"the services are {INFERENCE} and the empty name")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:  # noqa: N802
        """Send the status of a service now and at each change, until the server stops."""
        last = None
        while True:
            changed = self._changed
            status = await self._status(request.service)
            if status != last:
                await context.write(HealthCheckResponse(status=status))
                last = status
            if self._draining:
                return
            await changed.wait()

    async def _status(self, service: str) -> int:
        if service not in _SERVICES:
            return HealthCheckResponse.SERVICE_UNKNOWN
        serving = not self._draining and await self._data_plane.ready()
        return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
