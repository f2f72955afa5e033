"""KServe's model server, assembled from our parts."""

import argparse
import asyncio
from functools import partial

from kserve import ModelServer

from serving import kserve_patches, openapi
from serving.decode.dataplane import CheckedDataPlane
from serving.health import Health
from serving.http.rest import RestServer
from serving.http.routes import OrjsonResponse, VersionedEndpoints
from serving.in_flight import InFlight
from serving.predictor import SentimentPredictor
from serving.repository import ModelControl
from serving.rpc import GrpcServer


class Server(ModelServer):
    def __init__(
        self, args: argparse.Namespace, in_flight: InFlight, predictor: SentimentPredictor
    ) -> None:
        super().__init__(
            http_port=args.http_port,
            grpc_port=args.grpc_port,
            enable_grpc=args.enable_grpc,
            enable_latency_logging=False,
            timeout_keep_alive=args.timeout_keep_alive,
            ssl_certfile=args.ssl_certfile,
            ssl_keyfile=args.ssl_keyfile,
        )
        self.http_port = args.http_port  # with TLS, KServe would listen on 8443 in place of 8080
        explicit = args.model_control == "explicit"
        self.dataplane = CheckedDataPlane(
            self.registered_models,
            in_flight.limits,
            args.model_name,
            ["binary_tensor_data", *(["model_repository_extension"] if explicit else [])],
        )
        health = Health(self.dataplane)
        self.model_repository_extension = ModelControl(
            self.registered_models, predictor, allowed=explicit, announce=health.announce
        )
        kserve_patches.use_servers(
            partial(
                RestServer,
                in_flight=in_flight,
                description=openapi.document(in_flight.limits),
            ),
            partial(GrpcServer, in_flight=in_flight, health=health),
        )
        kserve_patches.use_v2_endpoints(VersionedEndpoints)
        kserve_patches.use_json_response(OrjsonResponse)

    def stop(self, sig: int) -> None:
        """Drain the gRPC server; the REST server has drained before it raised this signal again.

        KServe unloads the models first, and calls in flight then end with NOT_FOUND (seen with
        kserve 0.21.0).
        """
        if self._grpc_server:
            self._stopping = asyncio.create_task(self._grpc_server.stop(sig))
