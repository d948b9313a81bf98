"""The front's bounds for Ray Serve's own proxy in Python, which listens where there is no front: uvicorn has none for a request's head.

Serve calls `serve_middlewares` in each process that listens, before it listens (`serving.http.request_id.HOOK_VARIABLE`).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections import Counter
from dataclasses import asdict
from typing import Any, Final

from starlette.middleware import Middleware

from serving.deploy.edge.bounds import Bounds
from serving.http import request_id

_BOUNDS: Final = "SYNTHSEG_BOUNDS"
_LOOPBACK: Final = ("127.0.0.1", "::1")


def hook(bounds: Bounds) -> dict[str, str]:
    """Environment variables: with them Serve's processes call `serve_middlewares`, which finds `bounds` there."""
    return {request_id.HOOK_VARIABLE: f"{__name__}.serve_middlewares", _BOUNDS: json.dumps(asdict(bounds))}


def serve_middlewares() -> list[Middleware]:
    """The middlewares of every server. Connections that uvicorn takes in this process from now on are held to the bounds, too."""
    from uvicorn.protocols.http import auto

    bounds = Bounds(**json.loads(os.environ[_BOUNDS]))
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    auto.AutoHTTPProtocol = _bounded(auto.AutoHTTPProtocol, bounds)
    return request_id.serve_middlewares()


def _bounded(protocol: Any, bounds: Bounds) -> type[asyncio.Protocol]:
    """Uvicorn's class `protocol` of connections, held to all of `bounds` but the rate of new ones."""
    sources: Counter[str] = Counter()

    class Bounded(protocol):  # type: ignore[misc]
        """A connection that is cut off when it is one too many or when a request's head does not end in time."""

        _late: asyncio.TimerHandle | None = None
        _source = ""

        def connection_made(self, transport: asyncio.Transport) -> None:
            """Count the connection, and cut it off where the server or its address has too many."""
            super().connection_made(transport)
            self._source = self.client[0] if self.client else ""
            sources[self._source] += 1
            many = 0 < bounds.source_connections < sources[self._source] and self._source not in _LOOPBACK
            if many or len(self.connections) > bounds.connections:
                transport.abort()
            else:
                self._time_head()

        def data_received(self, data: bytes) -> None:
            """Read on; the head of a request may have begun or ended with that."""
            super().data_received(data)
            self._time_head()

        def connection_lost(self, exc: Exception | None) -> None:
            """Count the connection no more."""
            sources[self._source] -= 1
            if not sources[self._source]:
                del sources[self._source]
            self._stop_clock()
            super().connection_lost(exc)

        def _time_head(self) -> None:
            """Stop the clock while a request is answered, and start it where the next head is waited for."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_clock()
            elif self._late is None:
                self._late = self.loop.call_later(bounds.request_s, self.transport.abort)

        def _stop_clock(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded
