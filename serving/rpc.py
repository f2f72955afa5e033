"""KServe's gRPC server with our limits and errors, and without a log line per call."""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from kserve.errors import InvalidInput
from kserve.logging import logger
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.utils.utils import to_headers

from serving import errors, metrics, request_id
from serving.decode import v2
from serving.in_flight import InFlight

_INFER = "/inference.GRPCInferenceService/ModelInfer"
STATUSES = {  # the HTTP status of each code that is sent here, as in google/rpc/code.proto
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: metrics.CLIENT_CLOSED,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_MAX_DRAIN = 2.0  # seconds in which clients may still send calls
_QUIET = 0.2  # seconds without a new call that end the drain


class CheckedServicer(InferenceServicer):
    def __init__(self, *args: Any, in_flight: InFlight) -> None:
        super().__init__(*args)
        self._in_flight = in_flight

    async def ModelInfer(  # noqa: N802
        self, request: ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> ModelInferResponse:
        decoded = v2.decode_grpc(request, self._in_flight.limits)
        response, headers = await self._data_plane.infer(
            request.model_name, decoded, to_headers(context)
        )
        # trailing, as of errors: to send initial metadata takes a tenth of the time of a call
        context.set_trailing_metadata(((request_id.HEADER, headers[request_id.HEADER]),))
        return response.to_grpc()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Admits inferences, answers a caller's error with its status, and counts calls.

    Messages arrive as bytes, because gRPC answers a message that it cannot parse with UNKNOWN.
    """

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.started = 0
        self.may_respond = asyncio.Event()  # cleared to hold responses back
        self.may_respond.set()

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        began = metrics.start_request()
        handler = await continuation(details)
        if handler is None:
            return None
        run = self._admit if details.method == _INFER else self._run

        async def respond(message: bytes, context: grpc.aio.ServicerContext) -> Any:
            self.started += 1
            code, reason = grpc.StatusCode.CANCELLED, ""  # unless there is a response
            try:
                result = await run(handler, message, context)
                await self.may_respond.wait()
                code = grpc.StatusCode.OK
            except tuple(errors.KINDS) as error:
                kind, reason = errors.count_refusal(error)
                await self.may_respond.wait()
                code = kind.code
            except Exception:  # a fault of the server: its reason is for the log, not the caller
                logger.exception("%s", details.method)
                code, reason = grpc.StatusCode.INTERNAL, errors.INTERNAL
            finally:
                metrics.observe_response("gRPC", details.method, STATUSES[code], began)
            if code is not grpc.StatusCode.OK:
                name = request_id.choose(to_headers(context).get(request_id.HEADER))
                await context.abort(code, reason, ((request_id.HEADER, name),))
            return result

        return grpc.unary_unary_rpc_method_handler(
            respond, response_serializer=handler.response_serializer
        )

    async def _admit(self, handler: Any, message: bytes, context: Any) -> Any:
        with self._in_flight.admit(len(message)):
            await self._in_flight.scheduler.wait_turn(len(message))
            return await self._run(handler, message, context)

    async def _run(self, handler: Any, message: bytes, context: Any) -> Any:
        try:
            request = handler.request_deserializer(message)
        except DecodeError as error:
            raise InvalidInput("the message is not of the type that this method takes") from error
        return await handler.unary_unary(request, context)


class GrpcServer(GRPCServer):
    """KServe's server with our interceptor.

    KServe's own interceptors log each call, and each error of a caller with a traceback (seen with
    kserve 0.21.0).
    """

    def __init__(self, *args: Any, in_flight: InFlight, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = in_flight.limits
        self._servicer = CheckedServicer(
            self._data_plane, self._model_repository_extension, in_flight=in_flight
        )
        self._calls = CallInterceptor(in_flight)

    async def start(self, max_workers: int) -> None:
        """Serve until :meth:`stop`; ``max_workers`` is unused, as all handlers are coroutines."""
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=[
                ("grpc.max_receive_message_length", self._limits.max_body_bytes),
                ("grpc.so_reuseport", 0),  # or two servers could share a port and its calls
            ],
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        logger.info("gRPC on port %d", self._port)
        await self._server.wait_for_termination()

    async def stop(self, sig: int | None = None) -> None:
        """Drain the server: gRPC drops calls that it has read and not yet dispatched.

        Responses are held back until no new call arrives, because each client is then waiting for
        a response. gRPC then tells clients to connect elsewhere, and the responses are sent.
        """
        self._calls.may_respond.clear()
        deadline = asyncio.get_running_loop().time() + _MAX_DRAIN
        seen = -1
        while seen != self._calls.started and asyncio.get_running_loop().time() < deadline:
            seen = self._calls.started
            await asyncio.sleep(_QUIET)
        stopping = asyncio.create_task(self._server.stop(self._grace_period))
        await asyncio.sleep(0)
        self._calls.may_respond.set()
        await stopping
