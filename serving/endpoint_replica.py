"""Engine `openai` as a Serve deployment: it holds connections to the endpoint and computes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray import serve

from serving.concurrent_text import ConcurrentText, Lanes
from serving.replicas import TEXT_ENGINE
from synthseg.config.schema import RunConfig
from synthseg.engines.openai_text import Connection, OpenAiEngine
from synthseg.engines.text import TextReply, TextRequest


@serve.deployment(name=TEXT_ENGINE, health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class EndpointReplica(ConcurrentText):
    """A client of the endpoint. That the endpoint works was found out before any replica started; here only requests can fail."""

    def __init__(self, config: RunConfig, max_held: int = 0) -> None:
        """`max_held` 0 sets no bound: a batch run bounds its own window."""
        self._engine = OpenAiEngine(config.prompts.base_url, config.prompts.model, config.execution.endpoint)
        self.engine_digest = self._engine.digest
        self.lanes = Lanes(self._engine.max_concurrent, max_held)
        self._connected = self._engine.connected()
        self._connection: Connection | None = None

    async def complete_one(self, request: TextRequest) -> TextReply:
        """The endpoint's reply."""
        return await self._engine.answer(await self._open(), request)

    async def tell_one(self, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        """The endpoint's stream."""
        async with aclosing(self._engine.tell(await self._open(), request)) as pieces:
            async for piece in pieces:
                yield piece

    async def _open(self) -> Connection:
        """Connections of this replica's event loop, which ends with its process."""
        if self._connection is None:
            self._connection = await self._connected.__aenter__()
        return self._connection
