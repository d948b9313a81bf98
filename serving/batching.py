"""Batches formed when a replica is free, never by an arrival window.

While the engine works, requests queue; the moment it is free, the next batch takes the oldest request and all that
agree with it. So a lone request waits for nothing and a loaded replica runs full batches.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from serving.running_mean import RunningMean

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_NEWEST_SHARE = 0.2
"""Weight of the newest batch in the running mean of seconds a request."""


class QueueFull(Exception):
    """The queue holds as many requests as it may; `wait_s` is how long those are expected to take."""

    def __init__(self, queued: int, wait_s: float) -> None:
        super().__init__(queued, wait_s)  # what pickle builds it from again
        self.queued = queued
        self.wait_s = wait_s

    def __str__(self) -> str:
        return f"{self.queued} requests are queued"


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Request, Reply]):
    request: Request
    group: Hashable
    cost: int
    reply: asyncio.Future[Reply]


@dataclass(slots=True)
class BatchStats:
    """What the batcher did since it started, and what it holds now (`queued`, `running`)."""

    queued: int = 0
    running: int = 0
    batches: int = 0
    requests: int = 0
    """Requests that reached the engine."""
    failed_batches: int = 0
    refused: int = 0
    left: int = 0
    """Requests whose caller went away, or whose deadline passed, before they had a reply."""
    engine_seconds: float = 0.0


class DrainBatcher(Generic[Request, Reply]):
    """Feeds one engine, one call at a time, from a queue per group.

    `group` says which requests may share a batch. Groups take turns, so none starves; within a group it is first in,
    first out. A batch has at most `max_batch_size` requests and, as long as it has more than one, at most `max_batch_cost`
    of `cost` (pixels, for images). Beyond `max_queued` waiting requests (0: no bound) the next is refused. A request leaves the queue the
    moment its caller goes away or its deadline passes. When a batch raises, each of its requests is tried alone, so a
    poisoned one hurts only itself.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Request]], Sequence[Reply]],
        max_batch_size: int,
        group: Callable[[Request], Hashable] = lambda _: None,
        *,
        cost: Callable[[Request], int] = lambda _: 0,
        max_batch_cost: int = 0,
        max_queued: int = 0,
    ) -> None:
        self._call = call
        self._max_batch_size = max_batch_size
        self._group = group
        self._cost = cost
        self._max_batch_cost = max_batch_cost
        self._max_queued = max_queued
        self._queues: OrderedDict[Hashable, dict[_Waiting[Request, Reply], None]] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None
        self._call_started: float | None = None
        self._seconds_per_request = RunningMean(_NEWEST_SHARE)
        self.stats = BatchStats()
        self.last_error: BaseException | None = None
        """What the newest engine call raised; None once a call has succeeded again."""

    async def submit(self, request: Request, deadline_s: float | None = None) -> Reply:
        """The engine's reply to `request`.

        QueueFull at once when too many wait, TimeoutError after `deadline_s`, else whatever the engine raised for it.
        """
        if self._max_queued and self.stats.queued >= self._max_queued:
            self.stats.refused += 1
            raise QueueFull(self.stats.queued, self.expected_wait_s())
        waiting = _Waiting(request, self._group(request), self._cost(request), asyncio.get_running_loop().create_future())
        self._queues.setdefault(waiting.group, {})[waiting] = None
        self.stats.queued += 1
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        try:
            async with asyncio.timeout(deadline_s):
                return await waiting.reply
        except (TimeoutError, asyncio.CancelledError):
            if waiting.reply.cancelled():  # else the engine itself raised it
                self.stats.left += 1
                self._forget(waiting)
            raise

    def expected_wait_s(self) -> float:
        """How long a request that came now would queue, by the pace of the newest batches."""
        return (self.stats.queued + self.stats.running) * self._seconds_per_request.value

    def busy_s(self) -> float:
        """Seconds the current engine call has taken so far; 0 while the engine is free."""
        return time.monotonic() - self._call_started if self._call_started is not None else 0.0

    def _forget(self, waiting: _Waiting[Request, Reply]) -> None:
        queue = self._queues.get(waiting.group)
        if queue is not None and waiting in queue:
            del queue[waiting]
            self.stats.queued -= 1
            if not queue:
                del self._queues[waiting.group]

    def _next_batch(self) -> list[_Waiting[Request, Reply]]:
        """The oldest requests of the group whose turn it is, which then goes to the end of the line."""
        if not self._queues:
            return []
        key, queue = self._queues.popitem(last=False)
        batch: list[_Waiting[Request, Reply]] = []
        cost = 0
        for waiting in queue:
            cost += waiting.cost
            if len(batch) == self._max_batch_size or (batch and self._max_batch_cost and cost > self._max_batch_cost):
                break
            batch.append(waiting)
        for waiting in batch:
            del queue[waiting]
        if queue:
            self._queues[key] = queue
        self.stats.queued -= len(batch)
        return batch

    async def _drain(self) -> None:
        while batch := self._next_batch():
            self.stats.batches += 1
            self.stats.requests += len(batch)
            self.stats.running = len(batch)
            try:
                await self._serve(batch)
            finally:
                self.stats.running = 0

    async def _serve(self, batch: list[_Waiting[Request, Reply]]) -> None:
        try:
            replies = await self._run([waiting.request for waiting in batch])
        except Exception as error:  # noqa: BLE001 - whatever the engine raised belongs to the callers, not to this loop
            self.last_error = error
            self.stats.failed_batches += 1
            if len(batch) > 1:
                for waiting in batch:
                    if not waiting.reply.done():
                        await self._serve([waiting])
            elif not batch[0].reply.done():
                batch[0].reply.set_exception(error)
            return
        self.last_error = None
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.reply.done():
                waiting.reply.set_result(reply)

    async def _run(self, requests: list[Request]) -> Sequence[Reply]:
        self._call_started = started = time.monotonic()
        try:
            replies = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, requests)
        finally:
            seconds = time.monotonic() - started
            self._call_started = None
            self.stats.engine_seconds += seconds
            self._seconds_per_request.add(seconds / len(requests))
        if len(replies) != len(requests):
            raise RuntimeError(f"the engine gave {len(replies)} replies to {len(requests)} requests")
        return replies
