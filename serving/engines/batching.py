"""Batches formed when a replica is free, never by an arrival window.

While the engine works, requests queue; the moment it is free, the next batch takes the requests whose turn it is and all that
agree with them. So a lone request waits for nothing and a loaded replica runs full batches.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serving.engines.fair_queue import SHARED, FairQueue, QueueFull, check_room
from serving.engines.running_mean import RunningMean

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_NEWEST_SHARE = 0.2
"""Weight of the newest batch in the running mean of seconds a request."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Request, Reply]):
    request: Request
    tenant: str
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
    """Feeds one engine, one call at a time, from a `FairQueue`.

    `group` says which requests may share a batch. Tenants take turns and so do the groups of each, so none starves; within a group it is
    first in, first out. A batch has at most `max_batch_size` requests and, as long as it has more than one, at most `max_batch_cost`
    of `cost` (pixels, for images). Of a queue of `max_queued` places (0: no bound) no tenant may have more than it leaves free. A request
    leaves the queue the moment its caller goes away or its deadline passes. When a batch raises, each of its requests is tried alone, so a
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
        self._queue: FairQueue[_Waiting[Request, Reply]] = FairQueue()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._lock = threading.Lock()
        self._working = False
        """Whether the engine's thread will look into the queue again. `_lock` guards it, the queue and its statistics."""
        self._running: Sequence[_Waiting[Request, Reply]] = ()
        self._life: float | None = None
        """When the current engine call began or last gave a sign of life; None while the engine is free."""
        self._left: float | None = None
        """When the last one who waited for the current call went away."""
        self._seconds_per_request = RunningMean(_NEWEST_SHARE)
        self.stats = BatchStats()
        self.last_error: BaseException | None = None
        """What the newest engine call raised; None once a call has succeeded again."""

    async def submit(self, request: Request, deadline_s: float | None = None, tenant: str = SHARED) -> Reply:
        """The engine's reply to `request` of `tenant`.

        QueueFull at once when too many wait, TimeoutError after `deadline_s`, else whatever the engine raised for it.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Request, Reply] = _Waiting(request, tenant, self._group(request), self._cost(request), loop.create_future())
        with self._lock:
            try:
                check_room(self._max_queued, len(self._queue), self._queue.count(tenant), self.expected_wait_s(), tenant)
            except QueueFull:
                self.stats.refused += 1
                raise
            self._queue.add(waiting, tenant, waiting.group)
            self.stats.queued += 1
            is_idle, self._working = not self._working, True
        if is_idle:
            # Not before those that come in the same step of the loop are queued as well.
            loop.call_soon(self._thread.submit, self._drain, loop)
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

    def progress(self) -> None:
        """The engine gives a sign of life inside its call. Any thread may say so."""
        if self._life is not None:
            self._life = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the current engine call began or last gave a sign of life; 0 while the engine is free."""
        life = self._life
        return time.monotonic() - life if life is not None else 0.0

    def unwanted_s(self) -> float:
        """Seconds for which the engine has gone on, without a sign of life, with what nobody waits for any more."""
        left = self._left
        return min(time.monotonic() - left, self.silent_s()) if left is not None else 0.0

    def _forget(self, waiting: _Waiting[Request, Reply]) -> None:
        with self._lock:
            if self._queue.remove(waiting, waiting.tenant, waiting.group):
                self.stats.queued -= 1
            elif self._running and all(running.reply.done() for running in self._running):
                self._left = self._left or time.monotonic()

    # What follows runs in the engine's thread. It takes the next batch itself: a way to the loop and back would leave the engine idle
    # for as long as the loop has other things to do.

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._next_batch():
            self._serve(batch, loop)

    def _next_batch(self) -> list[_Waiting[Request, Reply]]:
        """The requests whose turn it is."""
        with self._lock:
            batch = self._queue.take(self._max_batch_size, self._fits)
            if not batch:
                self._working = False
                return []
            self.stats.queued -= len(batch)
            self.stats.running = len(batch)
            self.stats.batches += 1
            self.stats.requests += len(batch)
            return batch

    def _fits(self, batch: list[_Waiting[Request, Reply]], waiting: _Waiting[Request, Reply]) -> bool:
        return not self._max_batch_cost or sum(member.cost for member in batch) + waiting.cost <= self._max_batch_cost

    def _serve(self, batch: list[_Waiting[Request, Reply]], loop: asyncio.AbstractEventLoop) -> None:
        try:
            replies = self._run(batch)
        except BaseException as raised:  # noqa: BLE001 - whatever the engine raised belongs to the callers, not to this thread
            # A future takes no StopIteration, and a SystemExit would end the loop that waits for it.
            is_plain = isinstance(raised, Exception) and not isinstance(raised, StopIteration)
            self.last_error = error = raised if is_plain else RuntimeError(f"the engine raised {raised!r}")
            self.stats.failed_batches += 1
            if len(batch) == 1:
                self._answer(loop, batch, asyncio.Future.set_exception, [error])
                return
            for waiting in batch:
                if waiting.reply.done():
                    self.stats.running -= 1
                else:
                    self._serve([waiting], loop)
            return
        self.last_error = None
        self._answer(loop, batch, asyncio.Future.set_result, replies)

    def _answer(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting[Request, Reply]], settle: Callable[..., None], outcomes: Sequence[Any]
    ) -> None:
        self.stats.running -= len(batch)

        def settle_all() -> None:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.reply.done():
                    settle(waiting.reply, outcome)

        with suppress(RuntimeError):  # the loop is closed, and with it all that waited
            loop.call_soon_threadsafe(settle_all)

    def _run(self, batch: list[_Waiting[Request, Reply]]) -> Sequence[Reply]:
        started = time.monotonic()
        with self._lock:
            self._life, self._running = started, batch
            self._left = started if all(waiting.reply.done() for waiting in batch) else None
        try:
            replies = self._call([waiting.request for waiting in batch])
        finally:
            seconds = time.monotonic() - started
            with self._lock:
                self._life, self._left, self._running = None, None, ()
            self.stats.engine_seconds += seconds
            self._seconds_per_request.add(seconds / len(batch))
        if len(replies) != len(batch):
            raise RuntimeError(f"the engine gave {len(replies)} replies to {len(batch)} requests")
        return replies
