"""KServe's gRPC server with our limits and errors, and without its line of log a call."""

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

from serving import errors, metrics
from serving.decode import v2
from serving.in_flight import Load

_INFER = "/inference.GRPCInferenceService/ModelInfer"
STATUSES = {  # of HTTP, as google.rpc's code.proto has them for the codes that are sent here
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: metrics.LEFT,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_PATIENCE = 2.0  # seconds, at the end, until nobody may call
_QUIET = 0.2  # seconds without a call that mean nobody does


class Servicer(InferenceServicer):
    def __init__(self, *args: Any, load: Load) -> None:
        super().__init__(*args)
        self._load = load

    async def ModelInfer(  # noqa: N802
        self, request: ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> ModelInferResponse:
        checked = v2.grpc(request, self._load.limits)
        response, _ = await self._data_plane.infer(request.model_name, checked, to_headers(context))
        return response.to_grpc()


class Calls(grpc.aio.ServerInterceptor):
    """Lets so many inferences in at a time, gives a caller's mistake its status, and counts.

    Messages come as bytes: gRPC itself says UNKNOWN to those that it cannot parse.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self.taken = 0
        self.answers = asyncio.Event()  # cleared to hold them back
        self.answers.set()

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        began = metrics.begin()
        handler = await continuation(details)
        if handler is None:
            return None
        run = self._admit if details.method == _INFER else self._run

        async def answer(message: bytes, context: grpc.aio.ServicerContext) -> Any:
            self.taken += 1
            code, reason = grpc.StatusCode.CANCELLED, ""  # unless it comes to an answer
            try:
                result = await run(handler, message, context)
                await self.answers.wait()
                code = grpc.StatusCode.OK
            except tuple(errors.KINDS) as error:
                kind, reason = errors.refusal(error)
                await self.answers.wait()
                code = kind.code
            except Exception:  # a fault of ours: logged here, and told to nobody
                logger.exception("%s", details.method)
                code, reason = grpc.StatusCode.INTERNAL, errors.INTERNAL
            finally:
                metrics.answered("gRPC", details.method, STATUSES[code], began)
            if code is not grpc.StatusCode.OK:
                await context.abort(code, reason)
            return result

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

    async def _admit(self, handler: Any, message: bytes, context: Any) -> Any:
        with self._load.request(len(message)):
            await self._load.turns.wait(len(message))
            return await self._run(handler, message, context)

    async def _run(self, handler: Any, message: bytes, context: Any) -> Any:
        try:
            request = handler.request_deserializer(message)
        except DecodeError as error:
            raise InvalidInput("the message is not of the type that this method takes") from error
        return await handler.unary_unary(request, context)


class GrpcServer(GRPCServer):
    def __init__(self, *args: Any, load: Load, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = load.limits
        self._servicer = Servicer(self._data_plane, self._model_repository_extension, load=load)
        self._calls = Calls(load)

    async def start(self, max_workers: int) -> None:
        """Serve until stopped; all handlers are coroutines, so that no worker has work."""
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=[
                ("grpc.max_receive_message_length", self._limits.max_body_bytes),
                ("grpc.so_reuseport", 0),  # or two servers would share a port, and its callers
            ],
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        logger.info("gRPC on port %d", self._port)
        await self._server.wait_for_termination()

    async def stop(self, sig: int | None = None) -> None:
        """End without losing a call: gRPC drops those that it has read and not yet passed on.

        So answers are held back until nobody calls any more, as all wait for one; then gRPC tells
        callers to go elsewhere, and they get their answers.
        """
        self._calls.answers.clear()
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        seen = -1
        while seen != self._calls.taken and asyncio.get_running_loop().time() < deadline:
            seen = self._calls.taken
            await asyncio.sleep(_QUIET)
        ending = asyncio.create_task(self._server.stop(self._grace_period))
        await asyncio.sleep(0)
        self._calls.answers.set()
        await ending
