"""Engine `openai` as a Serve deployment: it holds connections to the endpoint and computes nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Final

from ray import serve

from serving.engines.concurrent_text import ConcurrentText, Lanes
from serving.engines.replicas import TEXT_ENGINE
from serving.engines.stats import EngineStats
from synthseg.config.schema import RunConfig
from synthseg.engines.openai.engine import Connection, OpenAiEngine
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import SynthSegError

PROBE_S: Final = 30.0
"""An endpoint that has given no text for this long is asked for a token."""
_PROBE_TIMEOUT_S: Final = 20.0
_LOG = logging.getLogger("synthseg.serving")


@serve.deployment(name=TEXT_ENGINE, health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class EndpointReplica(ConcurrentText):
    """A client of the endpoint. It lives on while the endpoint does not, as another replica would mend nothing, and says so in `stats`."""

    def __init__(self, config: RunConfig, max_held: int = 0) -> None:
        """`max_held` 0 sets no bound: a batch run bounds its own window."""
        self._engine = OpenAiEngine(config.prompts.base_url, config.prompts.model, config.execution.endpoint)
        self.engine_digest = self._engine.digest
        self.lanes = Lanes(self._engine.max_concurrent, max_held)
        self._connected = AsyncExitStack()
        self._connection: Connection | None = None
        self._fault = "starting"
        self._next_probe = 0.0

    async def complete_one(self, request: TextRequest) -> TextReply:
        """The endpoint's reply."""
        reply = await self._engine.answer(await self._open(), request)
        self._works()
        return reply

    async def tell_one(self, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        """The endpoint's stream."""
        async with aclosing(self._engine.tell(await self._open(), request)) as pieces:
            async for piece in pieces:
                yield piece
        self._works()

    async def stats(self) -> EngineStats:
        """As any text replica's, with what is wrong with the endpoint."""
        return replace(await super().stats(), fault=self._fault)

    async def check_health(self) -> None:
        """Serve calls this every few seconds, and before the replica gets its first request. A silent endpoint is asked for one token."""
        if time.monotonic() < self._next_probe:
            return
        self._next_probe = time.monotonic() + PROBE_S
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._engine.probe()
        except (SynthSegError, TimeoutError) as error:
            self._fault = "its endpoint gives no text"
            _LOG.error("text endpoint: %s", str(error) or f"no answer within {_PROBE_TIMEOUT_S:.0f} s")
        else:
            self._works()

    def _works(self) -> None:
        """The endpoint has just given a text."""
        self._fault = ""
        self._next_probe = time.monotonic() + PROBE_S

    async def _open(self) -> Connection:
        """Connections of this replica's event loop, which ends with its process."""
        if self._connection is None:
            self._connection = await self._connected.enter_async_context(self._engine.connected())
        return self._connection
