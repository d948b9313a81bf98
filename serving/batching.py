"""Batches formed when a replica is free, never by an arrival window.

While the engine works, requests queue; the moment it is free, the next batch takes the oldest request and all that
agree with it. So a lone request waits for nothing and a loaded replica runs full batches.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")


@dataclass(slots=True)
class _Waiting(Generic[Request, Reply]):
    request: Request
    reply: asyncio.Future[Reply]


@dataclass(slots=True)
class BatchStats:
    """What the batcher did since it started."""

    batches: int = 0
    requests: int = 0
    queued: int = 0


class DrainBatcher(Generic[Request, Reply]):
    """Feeds one engine, one call at a time, from a queue per group.

    `group` says which requests may share a batch. Groups take turns, so none starves; within a group it is first in,
    first out. Requests whose caller went away are dropped before a batch forms. When a batch raises, each of its
    requests is tried alone, so a poisoned one hurts only itself.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Request]], Sequence[Reply]],
        max_batch_size: int,
        group: Callable[[Request], Hashable] = lambda _: None,
    ) -> None:
        self._call = call
        self._max_batch_size = max_batch_size
        self._group = group
        self._queues: OrderedDict[Hashable, deque[_Waiting[Request, Reply]]] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None
        self.stats = BatchStats()

    async def submit(self, request: Request) -> Reply:
        """The engine's reply to `request`; raises what the engine raised for its batch."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._queues.setdefault(self._group(request), deque()).append(waiting)
        self.stats.queued += 1
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await waiting.reply

    def _next_batch(self) -> list[_Waiting[Request, Reply]]:
        while self._queues:
            key, queue = next(iter(self._queues.items()))
            batch: list[_Waiting[Request, Reply]] = []
            while queue and len(batch) < self._max_batch_size:
                waiting = queue.popleft()
                self.stats.queued -= 1
                if not waiting.reply.cancelled():
                    batch.append(waiting)
            del self._queues[key]
            if queue:
                self._queues[key] = queue
            if batch:
                return batch
        return []

    async def _drain(self) -> None:
        while batch := self._next_batch():
            self.stats.batches += 1
            self.stats.requests += len(batch)
            await self._serve(batch)

    async def _serve(self, batch: list[_Waiting[Request, Reply]]) -> None:
        requests = [waiting.request for waiting in batch]
        try:
            replies = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, requests)
        except Exception as error:  # noqa: BLE001 - whatever the engine raised belongs to the callers, not to this loop
            if len(batch) > 1:
                for waiting in batch:
                    await self._serve([waiting])
            elif not batch[0].reply.done():
                batch[0].reply.set_exception(error)
            return
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.reply.done():
                waiting.reply.set_result(reply)
