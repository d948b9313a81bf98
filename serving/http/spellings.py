"""What clients write differently and mean alike: HEAD for GET, and a slash at the end of a path."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.middleware import route_path
from serving.http.streams import stop


class SpellingMiddleware:
    """Wraps the routes, which know GET and paths without a slash at the end."""

    def __init__(self, app: ASGIApp, keep: Collection[str] = ()) -> None:
        """`keep` are paths that a route of their own answers: pages, whose relative links another path would break."""
        self._app = app
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if path.endswith("/") and path.strip("/") and path not in self._keep:
            scope["path"] = scope["path"].rstrip("/")
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What GET answers without its body, as RFC 9110 has it. A stream ends with its headers."""
        asked = {**scope, "method": "GET"}
        answered = asyncio.Event()

        async def send_headers(message: Message) -> None:
            if message["type"] != "http.response.start":
                return
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            answered.set()

        running = asyncio.ensure_future(self._app(asked, receive, send_headers))
        waiting = asyncio.ensure_future(answered.wait())
        try:
            await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            await stop(running, waiting)
            if "route" in asked:
                scope["route"] = asked["route"]  # for whoever observes the request from outside
