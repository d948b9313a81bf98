"""Around every request: an id, the time it took, one log line, metrics, security headers; and a bound on its body.

Plain ASGI: Starlette's BaseHTTPMiddleware would hide a client's disconnect from the routes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http import logs, tracing
from serving.http.errors import ApiError, unexpected
from serving.http.metrics import Metrics
from serving.http.request_id import HEADER
from serving.http.request_id import request_id as plain_request_id
from serving.http.streams import ClientGone

BODY_TIMEOUT_S: Final = 30.0
"""A client that needs longer to send its body is refused with 408."""
GONE: Final = 499
"""Status in logs and metrics of a request whose client left first (nginx's number; nobody receives it)."""
_SECURITY: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OWN_FILES: Final = (
    f"{_NOTHING}; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; img-src 'self' blob: data:; manifest-src 'self'"
)


def route_path(scope: Scope) -> str:
    """The path below the prefix that a proxy or Ray Serve mounts the application under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _security_headers(path: str) -> dict[str, str]:
    """Answers of the API load nothing; pages load our own files only. A route may set a policy of its own."""
    return {**_SECURITY, "content-security-policy": _NOTHING if path.startswith("/v1/") else _OWN_FILES}


class ObserveMiddleware:
    """The outermost layer. `scope["state"]["headers"]` are added to the answer, `scope["state"]["log"]` to its log line.

    `server_adds_id`: whoever calls the application adds the request's own x-request-id to each answer, as Ray Serve does.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, server_adds_id: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._server_adds_id = server_adds_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get(HEADER)
        request_id = plain_request_id(scope)
        state = scope["state"] = {
            **scope.get("state", {}),
            "request_id": request_id,
            "headers": {},
            "log": {},
            "trace_id": tracing.trace_id(),
        }
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                if request_id != given or not self._server_adds_id:
                    headers[HEADER] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
                for name, value in {**_security_headers(route_path(scope)), **state["headers"]}.items():
                    headers.setdefault(name, value)
                state["refusal"] = headers.get("x-error-code", "")
                del headers["x-error-code"]
            if message["type"] == "http.response.body" and not message.get("more_body") and state["trace_id"]:
                # The span ends with the last byte.
                tracing.annotate(_said(scope, status, time.perf_counter() - started, state.get("refusal", "")))
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_observed)
        except ClientGone:
            status = GONE
        except asyncio.CancelledError:
            # Ray Serve cancels a request whose client has left.
            status = GONE
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the client gets an answer and the log the traceback
            logs.LOGGER.exception("request failed", extra={"fields": {"request_id": request_id}})
            if status == 0:
                await unexpected().response()(scope, receive, send_observed)
            status = 500
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, status or GONE, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        state: dict[str, Any] = scope["state"]
        route = _route(scope)
        refusal = state.get("refusal", "")
        if isinstance(error := state.get("stream_error"), ApiError):
            refusal = error.code
        self._metrics.requests.labels(route, _method(scope["method"]), str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if status == GONE:
            self._metrics.disconnects.inc()
        elif refusal:
            self._metrics.refusals.labels(refusal).inc()
        logs.event("request", **_said(scope, status, seconds, refusal))


def _said(scope: Scope, status: int, seconds: float, refusal: str) -> dict[str, Any]:
    """What the log line and the span say of a request."""
    state: dict[str, Any] = scope["state"]
    tenant = state.get("tenant")
    fields = {
        "request_id": state["request_id"],
        "method": scope["method"],
        "route": _route(scope),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "tenant": tenant.tenant_id if tenant else None,
        "error": refusal or None,
        "trace_id": state["trace_id"],
        **state["log"],
    }
    return {name: value for name, value in fields.items() if value is not None}


class BodyMiddleware:
    """Reads the whole body, which is small by rule, before the application runs; refuses a larger or a too slow one."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_encoding(headers.get("content-encoding", ""))
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await self._read(headers.get("content-length", ""), receive)
        except TimeoutError:
            refusal = ApiError(408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.", code="request_timeout")
            await refusal.response()(scope, receive, send)
            return
        except ApiError as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, with_body(body, receive), send)

    async def _read(self, declared: str, receive: Receive) -> bytes:
        too_large = ApiError(413, f"The body is larger than {self._max_bytes} bytes.", code="request_too_large")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)


def _check_encoding(encoding: str) -> None:
    """Bodies are small by rule, and one that unpacks to more than was sent could not be bounded before it is unpacked."""
    if encoding.strip().lower() not in ("", "identity"):
        message = f"content-encoding: '{encoding}' is not taken; send the body as it is"
        raise ApiError(415, message, code="unsupported_content_encoding", param="content-encoding", headers={"accept-encoding": "identity"})


def with_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out `body` first and then whatever comes, such as the client's disconnect."""
    pending = True

    async def replay() -> Message:
        nonlocal pending
        if pending:
            pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _method(method: str) -> str:
    """The method as a label: what a client invents must not make a series of its own."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
