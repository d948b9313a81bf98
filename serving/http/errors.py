"""Every refusal in OpenAI's shape, so that its clients raise their typed exceptions.

Routes raise `ApiError`; what the engines raise and what FastAPI finds wrong with a request is translated here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from serving.http.contracts import Conflict, DeadlineExceeded, EngineUnavailable, Overloaded
from serving.state.limits import LimitReached
from synthseg.engines.text import RequestRefused

_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SHOWN_PROBLEMS: Final = 3
_SHOWN_CHARACTERS: Final = 600


class ErrorBody(BaseModel):
    """What went wrong: a sentence, its kind, the request field at fault and a code to program against."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """Body of every answer that is no success."""

    error: ErrorBody


class ApiError(Exception):
    """A refusal with its HTTP status. `param` names the request field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        kind: str = _INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        message, param = _printable(message), _printable(param) if param else None
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.body = ErrorReply(error=ErrorBody(message=message, type=kind, param=param, code=code))

    def response(self) -> JSONResponse:
        """The error as an HTTP response. `ObserveMiddleware` counts the header x-error-code and takes it off again."""
        return JSONResponse(self.body.model_dump(), self.status, {**self.headers, "x-error-code": self.code})


def _printable(text: str) -> str:
    """Text that any client can decode: the request's own words may hold half a surrogate pair, and be long."""
    return text.encode("utf-8", "replace").decode()[:_SHOWN_CHARACTERS]


def invalid(param: str | None, message: str, code: str = "invalid_value") -> ApiError:
    """400: a field of the request cannot be accepted."""
    return ApiError(400, message, code=code, param=param)


def not_found(message: str, *, code: str = "not_found", param: str | None = None) -> ApiError:
    """404: no such thing, or not this key's."""
    return ApiError(404, message, code=code, param=param)


def revoked() -> ApiError:
    """401: what ends a request whose key has been revoked."""
    return ApiError(401, "This API key has been revoked.", code="invalid_api_key")


def too_many(message: str, retry_after_s: float, code: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """429: the same request will be welcome in `retry_after_s` seconds."""
    wait = {"retry-after": str(max(math.ceil(retry_after_s), 1))}
    return ApiError(429, message, code=code, kind=code, headers={**(headers or {}), **wait})


def limit_reached(error: LimitReached) -> ApiError:
    """429: this key's minute is used up."""
    return too_many(str(error), error.retry_after_s, "rate_limit_exceeded", error.headers)


def _overloaded(error: Overloaded) -> ApiError:
    again = f"Try again in {max(math.ceil(error.retry_after_s), 1)} s."
    if error.own:
        message = f"{error.queued} requests of this key are queued already, which is its share of the queue. {again}"
        return too_many(message, error.retry_after_s, "rate_limit_exceeded")
    return too_many(f"The server is busy: {error.queued} requests are queued. {again}", error.retry_after_s, "overloaded")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the error statuses a route may answer with."""
    return {status: {"model": ErrorReply, "description": _DESCRIPTIONS[status]} for status in statuses}


_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "A field is missing, unknown or out of range; `error.param` names it.",
    401: "No API key, or a wrong one.",
    403: "Without keys, neither pages of other hosts may call the server nor anybody by a name that is not its own.",
    404: "No such thing, or not this key's.",
    408: "The body did not arrive in time.",
    409: "A request with this Idempotency-Key is still running, or the state does not allow this.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "This Idempotency-Key belongs to another request.",
    429: "Over the key's limits, or every queue is full; try again after `Retry-After` seconds.",
    500: "A fault of the server.",
    503: "No engine can answer now.",
    504: "The deadline passed before an engine had answered.",
}


def translate(error: Exception) -> ApiError | None:
    """The refusal that stands for what a backend or a route raised; None for what nobody expected."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, LimitReached):
        return limit_reached(error)
    if isinstance(error, Overloaded):
        return _overloaded(error)
    if isinstance(error, Conflict):
        return ApiError(409, str(error), code="conflict", headers={"x-should-retry": "false"})
    if isinstance(error, DeadlineExceeded):
        # A client that retried at once would double the load that made this one late.
        return ApiError(
            504, "The deadline passed before the engine had answered.", code="deadline_exceeded", kind=_SERVER,
            headers={"x-should-retry": "false"},
        )  # fmt: skip
    if isinstance(error, EngineUnavailable):
        return ApiError(
            503, "No engine can answer now. Try again soon.", code="engine_unavailable", kind=_SERVER, headers={"retry-after": "1"}
        )
    if isinstance(error, RequestRefused):
        return invalid(None, refusal(error))
    return None


def refusal(error: RequestRefused) -> str:
    """What an engine says of a request, without the setting that names the engine."""
    return str(error).partition(": ")[2] or str(error)


def unexpected() -> ApiError:
    """500: what went wrong stands in the log, under the answer's x-request-id."""
    return ApiError(500, "The server failed; its log says why, under this x-request-id.", code="internal_error", kind=_SERVER)


def install(app: FastAPI) -> None:
    """Answer every refusal of `app` in OpenAI's shape."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        found = translate(error)
        if found is None:
            raise error
        return found.response()

    async def validation(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RequestValidationError):
            raise error
        return (_content_type_error(error, request) or _validation_error(error)).response()

    async def routing(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            raise error
        return _http_error(error, request).response()

    for kind in (ApiError, LimitReached, Overloaded, Conflict, EngineUnavailable, DeadlineExceeded, RequestRefused):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, routing)


def _content_type_error(error: RequestValidationError, request: Request) -> ApiError | None:
    """What is wrong with a body that was not read as JSON, because nothing said that it is."""
    if error.errors()[0]["loc"] != ("body",) or not isinstance(error.body, bytes):
        return None
    given = request.headers.get("content-type", "")
    found = f"is '{given}'" if given else "is missing"
    return invalid("content-type", f"content-type: the header {found}; send Content-Type: application/json", "unsupported_content_type")


def _validation_error(error: RequestValidationError) -> ApiError:
    problems = error.errors()
    first = problems[0]
    if first["type"] == "json_invalid":
        return invalid(None, f"The body is not valid JSON: {first.get('ctx', {}).get('error', 'cannot be read')}.", "invalid_json")
    message = "; ".join(_describe(problem) for problem in problems[:_SHOWN_PROBLEMS])
    code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"], "invalid_value")
    return invalid(_field(first["loc"]) or None, message, code)


def _field(location: tuple[int | str, ...]) -> str:
    """`messages.0.role` of ("body", "messages", 0, "role")."""
    return ".".join(str(part) for part in location[1:])


def _describe(problem: Mapping[str, Any]) -> str:
    name = _field(problem["loc"]) or str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"{name}: is required"
    if problem["type"] == "extra_forbidden":
        return f"{name}: is not a parameter of this endpoint"
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}: {message}"


def _http_error(error: HTTPException, request: Request) -> ApiError:
    if error.status_code == 404:
        return ApiError(404, "No such route; /docs lists them.", code="not_found")
    if error.status_code == 405:
        allowed = {"allow": ", ".join(_methods(request))}
        return ApiError(405, "This route does not take this method.", code="method_not_allowed", headers=allowed)
    kind = _INVALID if error.status_code < 500 else _SERVER
    return ApiError(error.status_code, str(error.detail), code="http_error", kind=kind, headers=error.headers)


def _methods(request: Request) -> list[str]:
    """Methods that some route with this path takes; Starlette tells those of the first such route only."""
    scope = {key: request.scope[key] for key in ("type", "path", "root_path", "headers", "query_string")}
    routes = request.app.routes
    return [method for method in _METHODS if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)]
