"""KServe's model server, made of our parts."""

import argparse
import asyncio
from functools import partial

from kserve import ModelServer, model_server
from kserve.protocol.rest import v2_endpoints

from serving.decode.dataplane import CheckedDataPlane
from serving.http.rest import Endpoints, RestServer
from serving.in_flight import Load
from serving.predictor import SentimentPredictor
from serving.repository import ModelControl
from serving.rpc import GrpcServer


class Server(ModelServer):
    def __init__(self, args: argparse.Namespace, load: Load, predictor: SentimentPredictor) -> None:
        super().__init__(
            http_port=args.http_port,
            grpc_port=args.grpc_port,
            enable_grpc=args.enable_grpc,
            enable_latency_logging=args.enable_latency_logging,
        )
        self.dataplane = CheckedDataPlane(self.registered_models, load.limits)
        self.model_repository_extension = ModelControl(
            self.registered_models, predictor, allowed=args.model_control == "explicit"
        )
        # start() makes its servers by these names
        v2_endpoints.V2Endpoints = Endpoints
        model_server.RESTServer = partial(RestServer, load=load)
        model_server.GRPCServer = partial(GrpcServer, load=load)

    def stop(self, sig: int) -> None:
        """End the calls over gRPC; the REST server has ended itself, and told us by a signal.

        KServe unloads the models first, so that the last calls find none.
        """
        if self._grpc_server:
            self._stopping = asyncio.create_task(self._grpc_server.stop(sig))
