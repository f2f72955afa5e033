"""KServe's gRPC methods with our decoding and versions."""

from typing import Any

from grpc.aio import ServicerContext
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.utils.utils import to_headers

from serving import request_id
from serving.decode import v2
from serving.in_flight import InFlight


class CheckedServicer(InferenceServicer):
    """The methods for one model version.

    KServe ignores the version that a request names, and answers each load or unload with an error,
    because it reads the result of a function that returns none (kserve 0.21.0).
    """

    def __init__(self, *args: Any, in_flight: InFlight) -> None:
        super().__init__(*args)
        self._in_flight = in_flight

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: ServicerContext
    ) -> pb.ModelInferResponse:
        decoded = v2.decode_grpc(request, self._in_flight.limits)
        response, headers = await self._data_plane.infer(
            request.model_name, decoded, to_headers(context)
        )
        # trailing, as of errors: to send initial metadata takes a tenth of the time of a call
        context.set_trailing_metadata(((request_id.HEADER, headers[request_id.HEADER]),))
        return response.to_grpc()

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: ServicerContext
    ) -> pb.ModelReadyResponse:
        ready = await self._data_plane.model_ready(request.name)
        if ready:
            self._data_plane.check_version(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: ServicerContext
    ) -> pb.ModelMetadataResponse:
        """Return the types of the tensors; this message has no room for the names of classes."""
        model = self._data_plane.get_model_from_registry(request.name)
        self._data_plane.check_version(request.name, request.version)
        metadata = await super().ModelMetadata(request, context)
        metadata.versions.append(model.version)
        return metadata

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: ServicerContext
    ) -> pb.RepositoryModelLoadResponse:
        name = request.model_name
        await self._mode_repository_extension.load(name)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, context: ServicerContext
    ) -> pb.RepositoryModelUnloadResponse:
        name = request.model_name
        await self._mode_repository_extension.unload(name)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)
