"""OpenTelemetry traces: a span for each request, sent by OTLP over HTTP.

A span is made at the end of its request, because nothing within a request has a span of its own.
The SDK reads its settings, such as the sampler, from the environment (``OTEL_*``).
"""

import os
import time
from typing import Any

from serving.metrics import GRPC, OTHER, Answer

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class TracesError(Exception):
    """Traces cannot be sent."""


class Traces:
    """Sends spans in batches, from a thread of its own.

    Raises:
        TracesError: the packages are missing, or the environment asks for another protocol.
    """

    def __init__(self, service: str) -> None:
        for name in _PROTOCOLS:
            if os.environ.get(name, "http/protobuf") != "http/protobuf":
                raise TracesError(f"{name}: only http/protobuf is supported")
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise TracesError(
                f"--traces otlp: {error}; install requirements/traces.txt, build the image with"
                " --build-arg TRACES=traces.txt, or give --traces none"
            ) from error
        named = {"service.name": service} | dict(OTELResourceDetector().detect().attributes)
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("serving")
        self._extract = TraceContextTextMapPropagator().extract
        self._kind = trace.SpanKind.SERVER
        self._error = trace.StatusCode.ERROR

    def record(self, answer: Answer) -> None:
        """Make the span of a request and note its trace in ``answer``.

        Requests that belong to no trace and do not ask the model, as probes and scrapes, get none
        unless they fail.
        """
        if answer.trace_id is None and not answer.texts and answer.status < 400:
            return
        ended = time.time_ns()
        span = self._tracer.start_span(
            _name(answer),
            self._extract(dict(answer.headers)),
            self._kind,
            _attributes(answer),
            start_time=ended - int(answer.seconds * 1e9),
        )
        if answer.status >= 500:
            span.set_status(self._error)
        span.end(ended)
        answer.trace_id = f"{span.get_span_context().trace_id:032x}"

    def stop(self) -> None:
        """Send the spans that wait."""
        self._provider.shutdown()


def _name(answer: Answer) -> str:
    if answer.method == GRPC:
        return answer.endpoint.removeprefix("/")
    method = "HTTP" if answer.method == OTHER else answer.method
    return method if answer.endpoint == OTHER else f"{method} {answer.endpoint}"


def _attributes(answer: Answer) -> dict[str, Any]:
    """Return OpenTelemetry's attributes of HTTP or gRPC, and our own."""
    own = {
        "sentiment.texts": answer.texts,
        "sentiment.model_version": answer.version,
        "sentiment.request_id": answer.request_id,
    }
    if answer.method == GRPC:
        service, _, method = answer.endpoint.removeprefix("/").rpartition("/")
        standard = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "rpc.grpc.status_code": answer.grpc_code,
        }
    else:
        standard = {
            "http.request.method": "_OTHER" if answer.method == OTHER else answer.method,
            "http.route": None if answer.endpoint == OTHER else answer.endpoint,
            "http.response.status_code": answer.status,
            "error.type": str(answer.status) if answer.status >= 500 else None,
        }
    return {name: value for name, value in (standard | own).items() if value not in (None, "")}
