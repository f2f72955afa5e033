"""Ask a served model over v1, v2 and gRPC through the gateway, and compare the answers."""

from dataclasses import dataclass
from typing import Any

import grpc
import requests
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tools.cluster_test.load import REVIEW

SECONDS = 30
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Asked:
    """A served model: the gateway's address, the host that its routes name, its name in URLs."""

    address: str
    host: str
    model: str

    def ask(self) -> dict[str, float | str]:
        """Return the probability of the last class by protocol, or why there is none."""
        found: dict[str, float | str] = {}
        for protocol, ask in (("v1", self._v1), ("v2", self._v2), ("gRPC", self._grpc)):
            try:
                found[protocol] = ask()
            except grpc.RpcError as error:
                found[protocol] = f"{error.code().name}: {error.details()}"
            except (requests.RequestException, LookupError, TypeError, ValueError) as error:
                found[protocol] = str(error)
        return found

    def _v1(self) -> float:
        body = {"instances": [REVIEW]}
        answer = self._post(f"/v1/models/{self.model}:predict", body)
        return float([*answer["predictions"][0]["probabilities"].values()][-1])

    def _v2(self) -> float:
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [REVIEW]}
        answer = self._post(f"/v2/models/{self.model}/infer", {"inputs": [tensor]})
        outputs = {each["name"]: each["data"][-1] for each in answer["outputs"]}
        return float(outputs["probabilities"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        with requests.Session() as session:
            session.trust_env = False  # no proxy
            url, headers = f"{self.address}{path}", {"host": self.host}
            response = session.post(url, json=body, headers=headers, timeout=SECONDS)
        response.raise_for_status()
        return response.json()

    def _grpc(self) -> float:
        contents = {"bytes_contents": [REVIEW.encode()]}
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "contents": contents}
        request = pb.ModelInferRequest(model_name=self.model, inputs=[tensor])
        options = [("grpc.default_authority", self.host), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(self.address.partition("://")[2], options) as channel:
            infer = channel.unary_unary(
                _INFER,
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            response = infer(request, timeout=SECONDS)
        return _probability(response)


def _probability(response: Any) -> float:
    for output in response.outputs:
        if output.name == "probabilities":
            return float(output.contents.fp64_contents[-1])
    raise LookupError("the response has no probabilities")


def are_equal(answers: dict[str, float | str]) -> bool:
    """Tell whether each protocol has an answer, and the same one."""
    values = [*answers.values()]
    return all(isinstance(each, float) for each in values) and len(set(values)) == 1
