"""KServe's gRPC server with our limits, errors, health and reflection, and no log line per call."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kserve.errors import InvalidInput
from kserve.logging import logger
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.server import GRPCServer

from serving import errors, metrics, request_id
from serving.arrivals import Arrivals
from serving.errors import OverloadError, UnknownMethodError
from serving.health import INFERENCE, Health
from serving.in_flight import InFlight
from serving.servicer import CheckedServicer

_INFER = "/inference.GRPCInferenceService/ModelInfer"
PUSHBACK = "grpc-retry-pushback-ms"  # read by gRPC's own retries (gRFC A6)
# Calls that gRPC has received wait for our code, which admits or refuses them. Beyond a limit gRPC
# cancels them, and nothing counts them; its own limit is 1,000 (grpcio 1.85.1).
# Each takes 11 kB and what it may send of its message before it is read.
_MAX_WAITING = 10_000
_UNREAD = 8_192  # bytes of a message; gRPC's own figure is 65,536
_MAX_DRAIN = 2.0  # seconds in which clients may still send calls
_QUIET = 0.2  # seconds without a new call that end the drain


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Admits inferences, answers a caller's error with its status, and counts calls.

    Messages arrive as bytes, because gRPC answers a message that it cannot parse with UNKNOWN.
    """

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._arrivals = Arrivals(in_flight.limits)
        self.started = 0
        self._streams: set[asyncio.Task[Any]] = set()
        self._ending = False
        self.may_respond = asyncio.Event()  # cleared to hold responses back
        self.may_respond.set()

    def end_streams(self) -> None:
        """End the streams, for which the server would wait at its stop until the clients do."""
        self._ending = True
        for stream in self._streams:
            stream.cancel()

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        began = metrics.start_request()
        handler = await continuation(details)
        if handler is not None and handler.response_streaming:
            return self._stream_handler(handler, details.method, began)
        method = details.method if handler is not None else metrics.OTHER

        async def run(context: ServicerContext) -> Any:
            if handler is None:
                raise UnknownMethodError(f"{details.method}: there is no such method")
            message = await self._arrivals.read(context)
            self.started += 1
            if method == _INFER:
                return await self._admit(handler, message, context)
            return await self._run(handler, message, context)

        async def respond(requests: Any, context: ServicerContext) -> Any:
            return await self._answer(run(context), method, context, began)

        serializer = None if handler is None else handler.response_serializer
        # so that this code reads the message; for a unary call gRPC would wait for it
        return grpc.stream_unary_rpc_method_handler(respond, response_serializer=serializer)

    def _stream_handler(self, handler: Any, method: str, began: float) -> Any:
        """Return the handler of a call with many responses, as of reflection and health."""

        async def run(requests: Any, context: ServicerContext) -> None:
            if len(self._streams) >= self._in_flight.limits.max_in_flight:
                raise OverloadError(f"{len(self._streams)} streams are open", 1)
            task = cast(asyncio.Task[Any], asyncio.current_task())
            self._streams.add(task)
            try:
                responses = (handler.stream_stream or handler.unary_stream)(requests, context)
                if inspect.isasyncgen(responses):
                    async for response in responses:
                        await context.write(response)
                else:
                    await responses
            except asyncio.CancelledError:
                if not self._ending:  # the client left
                    raise
            finally:
                self._streams.discard(task)

        async def respond(requests: Any, context: ServicerContext) -> None:
            await self._answer(run(requests, context), method, context, began)

        wrap = grpc.unary_stream_rpc_method_handler
        if handler.request_streaming:
            wrap = grpc.stream_stream_rpc_method_handler
        return wrap(respond, handler.request_deserializer, handler.response_serializer)

    async def _answer(
        self, answer: Awaitable[Any], method: str, context: ServicerContext, began: float
    ) -> Any:
        """Return the result, or end the call with the status of the error; count both."""
        # unless there is a response
        status, code, reason = metrics.CLIENT_CLOSED, grpc.StatusCode.CANCELLED, ""
        metadata: list[tuple[str, str]] = []
        try:
            result = await answer
            await self.may_respond.wait()
            status, code = 200, grpc.StatusCode.OK
        except tuple(errors.KINDS) as error:
            kind, reason = errors.count_refusal(error)
            if isinstance(error, OverloadError):
                metadata = [(PUSHBACK, str(1000 * error.retry_after))]
            await self.may_respond.wait()
            status, code = kind.status.value, kind.code
        except Exception:  # a fault of the server: its reason is for the log, not the caller
            logger.exception("%s", method)
            status, code, reason = 500, grpc.StatusCode.INTERNAL, errors.INTERNAL
        finally:
            named = method == _INFER and code is grpc.StatusCode.OK  # it has its id already
            headers: dict[str, str] = {}
            if metrics.observers or not named:
                headers = dict(context.invocation_metadata())
            if named:
                ((_, name),) = context.trailing_metadata()
            else:
                name = request_id.choose(headers.get(request_id.HEADER))
            metrics.observe_response(
                metrics.GRPC, method, status, began, headers, name, code.value[0]
            )
        trailing = ((request_id.HEADER, name), *metadata)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, reason, trailing)
        if not named:
            context.set_trailing_metadata(trailing)
        return result

    async def _admit(self, handler: Any, message: bytes, context: ServicerContext) -> Any:
        with self._in_flight.admit(len(message)):
            await self._in_flight.scheduler.wait_turn(len(message))
            return await self._run(handler, message, context)

    async def _run(self, handler: Any, message: bytes, context: ServicerContext) -> Any:
        try:
            request = handler.request_deserializer(message)
        except DecodeError as error:
            raise InvalidInput("the message is not of the type that this method takes") from error
        return await handler.unary_unary(request, context)


class GrpcServer(GRPCServer):
    """KServe's server with our interceptor, and services beside the inference.

    KServe's own interceptors log each call, and each error of a caller with a traceback (seen with
    kserve 0.21.0).
    """

    def __init__(self, *args: Any, in_flight: InFlight, health: Health, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = in_flight.limits
        self._servicer = CheckedServicer(
            self._data_plane, self._model_repository_extension, in_flight=in_flight
        )
        self._calls = CallInterceptor(in_flight)
        self._health = health

    async def start(self, max_workers: int) -> None:
        """Serve until :meth:`stop`; ``max_workers`` is unused, as all handlers are coroutines."""
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=[
                ("grpc.max_receive_message_length", self._limits.max_body_bytes),
                ("grpc.http2.lookahead_bytes", _UNREAD),
                ("grpc.http2.bdp_probe", 0),  # or gRPC would raise it
                ("grpc.server.max_pending_requests", _MAX_WAITING),
                ("grpc.server.max_pending_requests_hard_limit", _MAX_WAITING),
                ("grpc.so_reuseport", 0),  # or two servers could share a port and its calls
            ],
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        named = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        services = (INFERENCE, named, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        logger.info("gRPC on port %d", self._port)
        await self._server.wait_for_termination()

    async def stop(self, sig: int | None = None) -> None:
        """Drain the server: gRPC drops calls that it has read and not yet dispatched.

        Responses are held back until no new call arrives, because each client is then waiting for
        a response. gRPC then tells clients to connect elsewhere, and the responses are sent.
        """
        self._health.drain()
        self._calls.may_respond.clear()
        deadline = asyncio.get_running_loop().time() + _MAX_DRAIN
        seen = -1
        while seen != self._calls.started and asyncio.get_running_loop().time() < deadline:
            seen = self._calls.started
            await asyncio.sleep(_QUIET)
        stopping = asyncio.create_task(self._server.stop(self._grace_period))
        await asyncio.sleep(0)
        self._calls.may_respond.set()
        self._calls.end_streams()
        await stopping
