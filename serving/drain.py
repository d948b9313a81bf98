"""Ending without losing a request: new ones are sent away, those under way finish."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_POLL_S = 0.05
_STILL_ANSWERED: Final = frozenset({"/healthz", "/metrics"})
_ENDLESS: Final = "/events"
"""End of the paths whose answers last as long as a job; nobody waits for them."""
_BODY: Final = json.dumps(
    {"error": {"message": "The server is shutting down; try again.", "type": "server_error", "param": None, "code": "shutting_down"}}
).encode()


class Drain:
    """An ASGI application around another one that can be closed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._closed = False
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503 after `close`."""
        if scope["type"] != "http" or str(scope["path"]).endswith(_ENDLESS):
            await self._app(scope, receive, send)
        elif self._closed and scope["path"] not in _STILL_ANSWERED:
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"5"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": _BODY})
        else:
            self._open += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._open -= 1

    async def close(self, timeout_s: float) -> bool:
        """Turn new requests away and wait for the open ones; False if some are still open after `timeout_s`."""
        self._closed = True
        deadline = time.monotonic() + timeout_s
        while self._open and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return self._open == 0
