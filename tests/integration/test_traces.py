"""Traces, received by a real OTLP receiver over HTTP."""

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from serving import flags
from tests.conftest import REPO
from tests.serving import JSON, PREDICT, grpc_tensor, serving

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@contextmanager
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Receive traces; yield the endpoint and the list of what arrives."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                received.append(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


def attributes(owner) -> dict:
    values = {each.key: each.value for each in owner.attributes}
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


def test_requests_are_spans_of_their_trace(trained, tmp_path):
    body = json.dumps({"instances": ["good", "bad"]}).encode()
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[grpc_tensor(["good"])])
    options = ["--model_version", "7", "--access_log", "json"]
    with receiver() as (endpoint, received):
        with serving(trained.model, tmp_path, *options, **{ENDPOINT: endpoint}) as server:
            server.ask(PREDICT, body, JSON | PARENT | {"x-request-id": "mine"})
            server.ask(PREDICT, b"wrong", JSON)
            for _ in range(5):
                server.ask("/v2/health/live")
            with grpc.insecure_channel(server.grpc) as channel:
                metadata = tuple(PARENT.items())
                GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata)
            log = server.log
        spans = [
            (resource.resource, span)
            for each in received
            for resource in each.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    (resource, first), (_, wrong), (_, call) = sorted(spans, key=lambda s: s[1].end_time_unix_nano)
    assert attributes(resource)["service.name"] == "sentiment"
    assert {span.kind for _, span in spans} == {Span.SPAN_KIND_SERVER}
    assert first.name == "POST /v1/models/{model_name}:predict"
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, SPAN)
    assert first.start_time_unix_nano < first.end_time_unix_nano
    assert attributes(first) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model_name}:predict",
        "http.response.status_code": 200,
        "sentiment.texts": 2,
        "sentiment.model_version": "7",
        "sentiment.request_id": "mine",
    }
    assert wrong.trace_id.hex() != TRACE
    assert not wrong.parent_span_id
    assert attributes(wrong)["http.response.status_code"] == 400
    assert wrong.status.code == Status.STATUS_CODE_UNSET, "an error of the caller"
    assert call.name == "inference.GRPCInferenceService/ModelInfer"
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(call)["rpc.system"] == "grpc"
    assert attributes(call)["rpc.grpc.status_code"] == 0
    lines = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
    asked = [line["trace_id"] for line in lines if line["method"] != "GET"]
    assert asked == [TRACE, wrong.trace_id.hex(), TRACE]


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, "none"),
        ([], {ENDPOINT: "http://x"}, "otlp"),
        ([], {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, "otlp"),
        (["--traces", "none"], {ENDPOINT: "http://x"}, "none"),
        ([], {ENDPOINT: "http://x", "SERVING_TRACES": "none"}, "none"),
        (["--traces", "otlp"], {}, "otlp"),
    ],
)
def test_traces_are_on_with_an_endpoint_or_by_the_flag(arguments, environment, expected):
    assert flags.parse(arguments, environment).traces == expected


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("sys.modules['opentelemetry.sdk'] = None", "--build-arg TRACES=traces.txt"),
        ("os.environ['OTEL_EXPORTER_OTLP_PROTOCOL'] = 'grpc'", "only http/protobuf"),
    ],
)
def test_traces_that_cannot_be_sent_are_one_line(tmp_path, prepare, words):
    main = f"import os, sys; {prepare}; from serving.__main__ import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", main, "--traces", "otlp", "--http_port", "0", "--grpc_port", "0"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "serving: error: " in result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_packages_of_traces_are_not_imported_without_them(tmp_path):
    code = "import serving.start, sys; print([m for m in sys.modules if 'opentelemetry' in m])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "opentelemetry.sdk" not in result.stdout
