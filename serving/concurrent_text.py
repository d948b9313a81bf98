"""Text replicas whose engine takes many requests at once and batches them itself: vLLM, or an endpoint elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager

from serving.batching import QueueFull
from serving.http.backend import EngineStats
from serving.replicas import TEXT_ENGINE, Answer, replica_name
from serving.running_mean import RunningMean
from synthseg.engines.text import TextReply, TextRequest

_NEWEST_SHARE = 0.2
"""Weight of the newest request in the running mean of its seconds."""

WARM_UP = TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1)


class Lanes:
    """Counts and times the requests in an engine's hands, and refuses more than it may hold."""

    def __init__(self, num_lanes: int, max_held: int) -> None:
        """The engine works on `num_lanes` requests at once; beyond `max_held` (0: no bound) the next one is refused."""
        self.num_lanes = num_lanes
        self.held = 0
        self.done = 0
        self.engine_seconds = 0.0
        """Seconds in which the engine had work, shared out among the requests it had."""
        self._max_held = max_held
        self._seconds_per_request = RunningMean(_NEWEST_SHARE)
        self._progress = time.monotonic()

    @contextmanager
    def taken(self) -> Iterator[_Lane]:
        """One request in hand. QueueFull when there are too many."""
        if self._max_held and self.held >= self._max_held:
            raise QueueFull(self.held, self.held * self._seconds_per_request.value)
        if not self.held:
            self.progress()
        self.held += 1
        lane = _Lane(time.monotonic(), self.held)
        try:
            yield lane
            lane.engine_s = (time.monotonic() - lane.started) / max(1, min(self.num_lanes, (lane.held + self.held) / 2))
            self._seconds_per_request.add(lane.engine_s)
            self.engine_seconds += lane.engine_s
            self.done += 1
        finally:
            self.held -= 1
            self.progress()

    def progress(self) -> None:
        """The engine has just shown that it works."""
        self._progress = time.monotonic()

    def silent_s(self) -> float:
        """Seconds for which the engine has had work and shown nothing."""
        return time.monotonic() - self._progress if self.held else 0.0


class _Lane:
    """One request in hand."""

    def __init__(self, started: float, held: int) -> None:
        self.started = started
        self.held = held
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

    async def answer(self, request: TextRequest, deadline_s: float) -> Answer[TextReply]:
        """One reply. TimeoutError after `deadline_s`, QueueFull at once."""
        async with asyncio.timeout(deadline_s):
            return await self._answer(request)

    async def stream(self, request: TextRequest, deadline_s: float) -> AsyncIterator[str | Answer[TextReply]]:
        """Pieces of the text as the engine writes them, then the whole answer; the errors of `answer`."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        reply: TextReply | None = None
        with self.lanes.taken() as lane:
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
        running = min(lanes.held, lanes.num_lanes)
        return EngineStats(
            TEXT_ENGINE, replica_name(), lanes.held - running, running, lanes.done, lanes.done, lanes.engine_seconds, lanes.num_lanes
        )

    async def _answer(self, request: TextRequest) -> Answer[TextReply]:
        with self.lanes.taken() as lane:
            reply = await self.complete_one(request)
        return Answer(reply, lane.engine_s)
