"""Ending without losing a request: new ones are sent away, those under way finish, and what would outlast them is ended."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.errors import ApiError
from serving.http.middleware import route_path
from serving.http.streams import stop

_POLL_S = 0.05
_STILL_ANSWERED: Final = frozenset({"/healthz", "/metrics"})
_ENDLESS: Final = "/events"
"""End of the paths whose answers last as long as a job. Their clients come again, to the next server."""


class Drain:
    """Whether the server is ending, and what is under way. `DrainMiddleware` keeps it; whoever ends the server closes it."""

    def __init__(self) -> None:
        self.closed = False
        self.num_open = 0
        self.endless: set[asyncio.Future[None]] = set()

    async def close(self, timeout_s: float) -> bool:
        """Turn new requests away, end endless answers and wait for the others; False if some are still open after `timeout_s`."""
        self.closed = True
        for answer in self.endless:
            answer.cancel()
        deadline = time.monotonic() + timeout_s
        while self.num_open and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return self.num_open == 0


class DrainMiddleware:
    """Passes a request on, or answers 503 once `drain` is closed."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if self._drain.closed and path not in _STILL_ANSWERED:
            await _refuse(scope, receive, send)
            return
        self._drain.num_open += 1
        try:
            await (self._until_closed if path.endswith(_ENDLESS) else self._app)(scope, receive, send)
        finally:
            self._drain.num_open -= 1

    async def _until_closed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer that ends, as if it were whole, when the server does."""
        begun = ended = False

        async def noted(message: Message) -> None:
            nonlocal begun, ended
            begun = True
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        answer = asyncio.ensure_future(self._app(scope, receive, noted))
        self._drain.endless.add(answer)
        try:
            await asyncio.wait((answer,))
        finally:
            self._drain.endless.discard(answer)
            await stop(answer)
        if not answer.cancelled():
            answer.result()
        elif not begun:
            await _refuse(scope, receive, send)
        elif not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = ApiError(
        503, "The server is shutting down; try again.", code="shutting_down", kind="server_error",
        headers={"retry-after": "5", "connection": "close"},
    )  # fmt: skip
    await refusal.response()(scope, receive, send)
