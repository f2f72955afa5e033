"""KServe's gRPC server with our limits and errors, and without its line of log a call."""

from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from kserve import model_server
from kserve.errors import InvalidInput
from kserve.logging import logger
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.utils.utils import to_headers

from serving import errors, tensors
from serving.load import Load

_INFER = "/inference.GRPCInferenceService/ModelInfer"


class Servicer(InferenceServicer):
    def __init__(self, *args: Any, load: Load) -> None:
        super().__init__(*args)
        self._load = load

    async def ModelInfer(  # noqa: N802
        self, request: ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> ModelInferResponse:
        checked = tensors.grpc(request, self._load.limits)
        response, _ = await self._data_plane.infer(request.model_name, checked, to_headers(context))
        return response.to_grpc()


class Refusals(grpc.aio.ServerInterceptor):
    """Gives a caller's mistake its status, and lets so many inferences in at a time.

    It takes messages as bytes: gRPC says UNKNOWN to what it cannot parse itself.
    """

    def __init__(self, load: Load) -> None:
        self._load = load

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        admit = self._admit if details.method == _INFER else self._answer

        async def answer(message: bytes, context: grpc.aio.ServicerContext) -> Any:
            try:
                return await admit(handler, message, context)
            except tuple(errors.KINDS) as error:
                kind, reason = errors.refusal(error)
                await context.abort(kind.code, reason)
            except Exception:
                logger.exception("%s", details.method)
                await context.abort(grpc.StatusCode.INTERNAL, errors.INTERNAL)

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

    async def _admit(self, handler: Any, message: bytes, context: Any) -> Any:
        with self._load.request(len(message)):
            await self._load.turns.wait(len(message))
            return await self._answer(handler, message, context)

    async def _answer(self, handler: Any, message: bytes, context: Any) -> Any:
        try:
            request = handler.request_deserializer(message)
        except DecodeError as error:
            raise InvalidInput("the message is not of the type that this method takes") from error
        return await handler.unary_unary(request, context)


class GrpcServer(GRPCServer):
    def __init__(self, *args: Any, load: Load, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load = load

    async def start(self, max_workers: int) -> None:
        """Serve until stopped; all handlers are coroutines, so that no worker has work."""
        servicer = Servicer(self._data_plane, self._model_repository_extension, load=self._load)
        self._server = grpc.aio.server(
            interceptors=[Refusals(self._load)],
            options=[("grpc.max_receive_message_length", self._load.limits.max_body_bytes)],
        )
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        logger.info("gRPC on port %d", self._port)
        await self._server.wait_for_termination()


def install(load: Load) -> None:
    """Have KServe's ModelServer, which makes its servers deep inside, make this one."""
    model_server.GRPCServer = partial(GrpcServer, load=load)
