"""The description at /openapi.json is that of the running server."""

import json
import re

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane
from openapi_spec_validator import validate

from serving import openapi
from serving.http.rest import RestServer
from serving.in_flight import InFlight
from serving.limits import RequestLimits
from tests.serving import EXPLAIN, FEEDBACK, INFER, JSON, PREDICT, TEXTS, serving

MODEL = "/v1/models/{model_name}"
PREDICT_PATH = f"{MODEL}:predict"
UNDESCRIBED = {"/openapi.json", "/page/{name}"}
TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["good", "bad"]}
BODIES = {
    PREDICT_PATH: {"instances": [*TEXTS, {"text": "x"}]},
    f"{MODEL}:explain": {"instances": TEXTS, "parameters": {"tokens": True, "top": 3}},
    f"{MODEL}:feedback": {"feedback": [{"id": "x", "index": 0, "label": "positive", "by": "y"}]},
    "/v2/models/{model_name}/infer": {"inputs": [TENSOR], "outputs": [{"name": "label"}]},
    "/v2/models/{model_name}/versions/{model_version}/infer": {"inputs": [TENSOR], "id": "x"},
}
EVENT = {"specversion": "1.0", "id": "1", "source": "x", "type": "y", "data": BODIES[PREDICT_PATH]}
WRONG = {
    PREDICT: [{"instances": []}, {"instances": ["x"] * 257}, {"instances": [7]}, {}],
    EXPLAIN: [{"instances": ["x"], "parameters": {"top": 101}}, {"instances": ["x"] * 0}],
    INFER: [
        {"inputs": []},
        {"inputs": [TENSOR | {"datatype": "FP32"}]},
        {"inputs": [TENSOR | {"shape": [0]}]},
    ],
    FEEDBACK: [{"feedback": []}, {"feedback": [{"id": "a b", "index": 0, "label": "positive"}]}],
}
DOCUMENT = openapi.document(RequestLimits())
OPERATIONS = [
    (path, verb)
    for path, item in DOCUMENT["paths"].items()
    for verb in item
    if verb != "parameters"
]


@pytest.fixture(scope="module")
def controlled(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("openapi")
    flags = ["--model_version", "7", "--model_control", "explicit", "--capture", str(directory)]
    with serving(trained.model, directory, *flags) as server:
        yield server


def check(instance: object, schema: dict) -> None:
    resolvable = schema | {"components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(resolvable).validate(instance)


def schema_of(content: dict) -> dict:
    return content["application/json"]["schema"]


def test_document_is_valid_and_served(server):
    assert server.ask("/openapi.json")[1] == DOCUMENT
    validate(DOCUMENT)


def test_document_has_the_limits():
    document = json.dumps(openapi.document(RequestLimits(max_instances=7, max_characters=99)))
    assert '"maxItems": 7' in document
    assert '"maxLength": 99' in document


def test_each_route_is_described_and_no_other():
    app, repository = FastAPI(openapi_url=None, docs_url=None, redoc_url=None), ModelRepository()
    parts = {"in_flight": InFlight(RequestLimits()), "description": DOCUMENT}
    server = RestServer("x", DataPlane(repository), None, 0, **parts)
    server._register_endpoints(app)
    routes = {
        (route.path, method.lower())
        for route in iter_route_contexts(app.routes)
        for method in route.methods - {"HEAD"}
        if route.path not in UNDESCRIBED
    }
    assert routes == set(OPERATIONS)


@pytest.mark.parametrize(("path", "verb"), OPERATIONS)
def test_request_and_answer_are_as_described(controlled, path, verb):
    operation, body = DOCUMENT["paths"][path][verb], BODIES.get(path)
    names = {each["name"] for each in DOCUMENT["paths"][path]["parameters"] if each["in"] == "path"}
    assert names == set(re.findall(r"{(\w+)}", path))
    address = path.format(model_name="sentiment", model_version="7")
    if verb == "post" and body is not None:
        check(body, schema_of(operation["requestBody"]["content"]))
    if path == "/metrics":
        assert controlled.samples()
        return
    sent = None if verb == "get" else json.dumps(body or {}).encode()
    status, answer, headers = controlled.ask(address, sent, JSON if sent else None)
    if address.endswith("/unload"):
        assert controlled.ask(address.replace("unload", "load"), b"")[0] == 200
    described = operation["responses"][str(status)]
    assert status < 300
    check(answer, schema_of(described["content"]))
    for header in described["headers"]:
        assert headers[header]


@pytest.mark.parametrize("path", WRONG)
def test_what_the_schemas_refuse_the_server_refuses(controlled, path):
    template = path.replace("sentiment", "{model_name}")
    operation = DOCUMENT["paths"][template]["post"]
    for body in WRONG[path]:
        with pytest.raises(jsonschema.ValidationError):
            check(body, schema_of(operation["requestBody"]["content"]))
        status, answer, _ = controlled.ask(path, json.dumps(body).encode(), JSON)
        assert str(status) in operation["responses"]
        error = DOCUMENT["components"]["responses"][str(status)]
        check(answer, schema_of(error["content"]))


def test_events_are_as_described(controlled):
    operation = DOCUMENT["paths"][PREDICT_PATH]["post"]
    kind = "application/cloudevents+json"
    schema = operation["requestBody"]["content"][kind]["schema"]
    check(EVENT, schema)
    status, answer, _ = controlled.ask(PREDICT, json.dumps(EVENT).encode(), {"content-type": kind})
    assert status == 200
    check(answer, operation["responses"]["200"]["content"][kind]["schema"])
    for wrong in (EVENT | {"specversion": "2"}, EVENT | {"data": {}}, EVENT | {"id": ""}):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, schema)
        sent = json.dumps(wrong).encode()
        assert controlled.ask(PREDICT, sent, {"content-type": kind})[0] == 400


def test_schemas_of_tensors_name_all_that_is_sent(controlled):
    schemas = DOCUMENT["components"]["schemas"]
    sent = json.dumps({"inputs": [TENSOR]}).encode()
    answer = controlled.ask(INFER, sent, JSON)[1]
    metadata = controlled.ask("/v2/models/sentiment")[1]
    for name, tensors in (("InferResponse", answer), ("ModelMetadata", metadata)):
        described = schemas[name]["properties"]["outputs"]["items"]["properties"]
        for tensor in tensors["outputs"]:
            assert {key for key, value in tensor.items() if value is not None} <= set(described)
