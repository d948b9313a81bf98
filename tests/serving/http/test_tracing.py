"""Spans reach a real OTLP receiver, and only when one is configured."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serving.http.app import create_app
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from tests.serving.http.local_backend import LocalBackend
from tests.serving.http.test_middleware import log_lines

Spans = list[tuple[str, Span]]
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """(service name, span) of all that arrives at an OTLP endpoint that the environment names."""
    spans: Spans = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in body.resource_spans:
                service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    # OpenTelemetry lets a process name its provider once.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", trace.Once())
    yield spans
    server.shutdown()
    thread.join()


def test_a_request_is_one_span_of_the_callers_trace(collector: Spans, configure: Callable[..., RunConfig]) -> None:
    config = configure()
    key = KeyStore(keys_path(config.serving)).add("tracer", 0, 0)
    headers = {"authorization": f"Bearer {key}", "x-request-id": "mine", "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    with TestClient(create_app(LocalBackend(config), None, config), headers=headers) as client:
        assert client.post("/v1/images/generations", json={"prompt": "a secret cow", "size": "64x64"}).status_code == 200
        assert client.get("/healthz").status_code == 200
    assert [(service, span.name) for service, span in collector] == [("synthseg", "POST /v1/images/generations")]
    span = collector[0][1]
    said = {a.key: a.value.string_value or a.value.int_value or a.value.double_value for a in span.attributes}
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert said["synthseg.request_id"] == "mine"
    assert said["synthseg.status"] == 200
    assert "secret" not in str(span)
    assert key not in str(span)
    assert [line.get("trace_id") for line in log_lines(config) if line["event"] == "request"] == [TRACE_ID, None]


def test_without_an_endpoint_nothing_is_traced(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, configure: Callable[..., RunConfig]
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    config = configure()
    with TestClient(create_app(backend, None, config)) as client:
        client.get("/v1/models")
    assert all("trace_id" not in line for line in log_lines(config))


def test_missing_packages_are_named(collector: Spans, monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.fastapi", None)
    with pytest.raises(UsageProblem, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: tracing needs .*pip install 'synthseg-agents\[otel\]'"):
        create_app(backend, None, backend.config)
