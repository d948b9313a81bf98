"""Text replicas whose engine takes many requests at once and batches them itself: vLLM, or an endpoint elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from serving.engines.fair_queue import SHARED, FairQueue, check_room
from serving.engines.replicas import TEXT_ENGINE, Answer, replica_name
from serving.engines.running_mean import RunningMean
from serving.engines.stats import EngineStats
from synthseg.engines.text import TextReply, TextRequest

_NEWEST_SHARE = 0.2
"""Weight of the newest request in the running mean of its seconds."""

WARM_UP = TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1)


class Lanes:
    """The places in an engine's hands. Tenants take turns for them, and no more requests may wait than are allowed."""

    def __init__(self, num_lanes: int, max_held: int) -> None:
        """The engine works on `num_lanes` requests at once; beyond `max_held` (0: no bound), with those that wait, the next is refused."""
        self.num_lanes = num_lanes
        self.running = 0
        self.done = 0
        self.engine_seconds = 0.0
        """Seconds in which the engine had work, shared out among the requests it had."""
        self._max_held = max_held
        self._held: Counter[str] = Counter()
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._seconds_per_request = RunningMean(_NEWEST_SHARE)
        self._silent_s = 0.0
        self._busy_since = 0.0

    @property
    def held(self) -> int:
        """Requests that run or wait."""
        return self._held.total()

    @asynccontextmanager
    async def taken(self, tenant: str = SHARED) -> AsyncGenerator[_Lane, None]:
        """One request in the engine's hands, once it is the tenant's turn. QueueFull at once when there are too many."""
        check_room(self._max_held, self.held, self._held[tenant], self.held * self._seconds_per_request.value, tenant)
        self._held[tenant] += 1
        try:
            await self._enter(tenant)
            has_spoken = False
            try:
                lane = _Lane(time.monotonic(), self.running)
                yield lane
                lane.engine_s = (time.monotonic() - lane.started) / max(1, (lane.running + self.running) / 2)
                self._seconds_per_request.add(lane.engine_s)
                self.engine_seconds += lane.engine_s
                self.done += 1
                has_spoken = True
            except Exception:  # an engine that says no says something; that a caller left says nothing of it
                has_spoken = True
                raise
            finally:
                self._leave()
                if has_spoken:
                    self.progress()
        finally:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]

    def progress(self) -> None:
        """The engine has just shown that it works."""
        self._silent_s, self._busy_since = 0.0, time.monotonic()

    def silent_s(self) -> float:
        """Seconds for which the engine has had work since it last showed anything, whoever has left meanwhile."""
        return self._silent_s + (time.monotonic() - self._busy_since if self.running else 0.0)

    async def _enter(self, tenant: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(turn, tenant)
        if self.running < self.num_lanes:
            if not self.running:
                self._busy_since = time.monotonic()
            self.running += 1
            self._leave()
        try:
            await turn
        except asyncio.CancelledError:
            if not self._waiting.remove(turn, tenant) and not turn.cancelled():
                self._leave()  # the lane came in the same moment
            raise

    def _leave(self) -> None:
        """Hand the lane to the next one in line that still waits."""
        while following := self._waiting.take():
            if not following[0].done():
                following[0].set_result(None)
                return
        self.running -= 1
        if not self.running:
            self._silent_s += time.monotonic() - self._busy_since


class _Lane:
    """One request in the engine's hands."""

    def __init__(self, started: float, running: int) -> None:
        self.started = started
        self.running = running
        self.engine_s = 0.0


class ConcurrentText:
    """The interface of `TextReplica` over two coroutines of a subclass: `complete_one` and `tell_one`."""

    lanes: Lanes
    engine_digest: str

    async def complete_one(self, request: TextRequest) -> TextReply:
        """The reply to one request."""
        raise NotImplementedError

    def tell_one(self, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        """Pieces of the text as they come, then the reply."""
        raise NotImplementedError

    async def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order, all at once."""
        answers = await asyncio.gather(*(self._answer(request) for request in requests))
        return [answer.result for answer in answers]

    async def answer(self, request: TextRequest, deadline_s: float, tenant: str = SHARED) -> Answer[TextReply]:
        """One reply. TimeoutError after `deadline_s`, QueueFull at once."""
        async with asyncio.timeout(deadline_s):
            return await self._answer(request, tenant)

    async def stream(self, request: TextRequest, deadline_s: float, tenant: str = SHARED) -> AsyncGenerator[str | Answer[TextReply], None]:
        """Pieces of the text as the engine writes them, then the whole answer; the errors of `answer`."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        reply: TextReply | None = None
        async with AsyncExitStack() as held:
            async with asyncio.timeout_at(deadline):
                lane = await held.enter_async_context(self.lanes.taken(tenant))
            async with aclosing(self.tell_one(request)) as pieces:
                while True:
                    async with asyncio.timeout_at(deadline):
                        piece = await anext(pieces, None)
                    if piece is None:
                        break
                    self.lanes.progress()
                    if isinstance(piece, TextReply):
                        reply = piece
                    else:
                        yield piece
        if reply is None:
            raise RuntimeError("the engine ended a text without its reply")
        yield Answer(reply, lane.engine_s)

    async def digest(self) -> str:
        """The engine's digest."""
        return self.engine_digest

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()

    async def stats(self) -> EngineStats:
        """What this replica did and holds. The engine forms its own batches, so each request counts as one."""
        lanes = self.lanes
        queued = lanes.held - lanes.running
        return EngineStats(
            TEXT_ENGINE, replica_name(), queued, lanes.running, lanes.done, lanes.done, lanes.engine_seconds, lanes.num_lanes
        )

    async def _answer(self, request: TextRequest, tenant: str = SHARED) -> Answer[TextReply]:
        async with self.lanes.taken(tenant) as lane:
            reply = await self.complete_one(request)
        return Answer(reply, lane.engine_s)
