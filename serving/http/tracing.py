"""OpenTelemetry, where OpenTelemetry's own environment variables say where spans go: one trace a request, joined to the caller's.

A span is named after its route and carries the request id and what the log line says (tenant, images, engine seconds), never a
prompt or a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI

from synthseg.errors import UsageProblem

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NOT_TRACED: Final = "healthz,readyz,metrics"
"""What probes and scrapers ask all the time."""


def install(app: FastAPI) -> None:
    """Trace `app` if one of OTEL_EXPORTER_OTLP[_TRACES]_ENDPOINT is set. UsageProblem when the packages for it are missing."""
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageProblem(
            f"{endpoint}: tracing needs {error.name}; run: pip install 'synthseg-agents[otel]', or unset the variable"
        ) from error
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "synthseg"}
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app, excluded_urls=_NOT_TRACED, exclude_spans=["receive", "send"])


def trace_id() -> str | None:
    """Trace id (hex) of the current span, None where nothing is traced."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    span = trace.get_current_span()
    return f"{span.get_span_context().trace_id:032x}" if span.is_recording() else None


def annotate(fields: Mapping[str, Any]) -> None:
    """Put `fields` on the current span, of which there must be one."""
    from opentelemetry import trace

    trace.get_current_span().set_attributes(
        {f"synthseg.{name}": value for name, value in fields.items() if isinstance(value, str | int | float)}
    )


def flush() -> None:
    """Send what is still held back; called before the process ends."""
    try:
        from opentelemetry import trace
    except ImportError:
        return
    send = getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        send()
