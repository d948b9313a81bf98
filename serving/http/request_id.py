"""The id of a request: the client's own, or one of ours where it sent none or one that is no plain word."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER: Final = "x-request-id"
HOOK_VARIABLE: Final = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Environment variable that names the function from which Ray Serve's processes take middlewares."""
SERVE_HOOK: Final = {HOOK_VARIABLE: f"{__name__}.serve_middlewares"}
"""The environment in which Ray Serve's processes put `serve_middlewares` around their own."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(scope: Scope) -> str:
    """The id that the request goes by."""
    given = Headers(scope=scope).getlist(HEADER)
    return given[0] if len(given) == 1 and _PLAIN.fullmatch(given[0]) else f"req_{uuid.uuid4().hex}"


class PlainRequestId:
    """Gives a request that brings an odd id one of ours. Ray Serve adds the id that a request brings to its answer, unseen by the
    application, which would name another one beside it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] == "http" and HEADER in Headers(scope=scope):
            plain = request_id(scope)
            headers = MutableHeaders(scope=scope)
            del headers[HEADER]
            headers[HEADER] = plain
        await self._app(scope, receive, send)


def serve_middlewares() -> list[Middleware]:
    """Called by Ray Serve, which puts these around its own middleware."""
    return [Middleware(PlainRequestId)]
