"""The front's bounds for Ray Serve's own proxy in Python, which listens where there is no front: uvicorn has none for a request's head.

Serve calls `serve_middlewares` in each process that listens, before it does (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH).
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

from serving.edge.bounds import Bounds
from serving.http import request_id

_BOUNDS: Final = "SYNTHSEG_BOUNDS"
_LOOPBACK: Final = ("127.0.0.1", "::1")


def hook(bounds: Bounds) -> dict[str, str]:
    """Variables that have Serve's processes call `serve_middlewares` and it know `bounds`."""
    return {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}.serve_middlewares", _BOUNDS: json.dumps(asdict(bounds))}


def serve_middlewares() -> list[Middleware]:
    """Those of every server; besides, what uvicorn makes in this process from now on is held to the bounds."""
    from uvicorn.protocols.http import auto

    bounds = Bounds(**json.loads(os.environ[_BOUNDS]))
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    auto.AutoHTTPProtocol = _bounded(auto.AutoHTTPProtocol, bounds)
    return request_id.serve_middlewares()


def _bounded(protocol: Any, bounds: Bounds) -> type[asyncio.Protocol]:
    """Uvicorn's `protocol`, held to `bounds` but for the rate of new connections."""
    sources: Counter[str] = Counter()

    class Bounded(protocol):  # type: ignore[misc]
        """A connection."""

        _late: asyncio.TimerHandle | None = None
        _source = ""

        def connection_made(self, transport: asyncio.Transport) -> None:
            """One more, or one too many."""
            super().connection_made(transport)
            self._source = self.client[0] if self.client else ""
            sources[self._source] += 1
            many = 0 < bounds.source_connections < sources[self._source] and self._source not in _LOOPBACK
            if many or len(self.connections) > bounds.connections:
                transport.abort()
            else:
                self._time()

        def data_received(self, data: bytes) -> None:
            """A request's head may be whole now, or begin."""
            super().data_received(data)
            self._time()

        def connection_lost(self, exc: Exception | None) -> None:
            """One less."""
            sources[self._source] -= 1
            if not sources[self._source]:
                del sources[self._source]
            self._in_time()
            super().connection_lost(exc)

        def _time(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._in_time()
            elif self._late is None:
                self._late = self.loop.call_later(bounds.request_s, self.transport.abort)

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded
