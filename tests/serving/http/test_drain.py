from __future__ import annotations

import asyncio

import httpx
from starlette.types import Receive, Scope, Send

from serving.http.drain import Drain, DrainMiddleware

EVENTS = "/v1/jobs/job-1/events"


class Held:
    """An application that answers when it is let to."""

    def __init__(self, *, begins: bool = False) -> None:
        """With `begins`, the first part of the answer is sent before."""
        self.open = asyncio.Event()
        self.entered = 0
        self.left = 0
        self._begins = begins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self._begins:
            await send(start)
            await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        self.entered += 1
        try:
            await self.open.wait()
        finally:
            self.left += 1
        if not self._begins:
            await send(start)
        await send({"type": "http.response.body", "body": b"done"})


async def get(app: DrainMiddleware, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path)


async def under_way(app: DrainMiddleware, held: Held, path: str) -> asyncio.Task[httpx.Response]:
    before = held.entered
    task = asyncio.create_task(get(app, path))
    while held.entered == before:
        await asyncio.sleep(0.001)
    return task


def test_what_is_under_way_finishes_and_what_comes_later_is_sent_away() -> None:
    async def scenario() -> None:
        held, drain = Held(), Drain()
        app = DrainMiddleware(held, drain)
        first = await under_way(app, held, "/v1/models")
        closing = asyncio.create_task(drain.close(10))
        await asyncio.sleep(0.01)
        for path in ("/v1/models", EVENTS):
            late = await get(app, path)
            assert late.status_code == 503
            assert late.headers["retry-after"] == "5"
            assert late.json()["error"]["code"] == "shutting_down"
        assert not closing.done()
        held.open.set()
        assert (await first).text == "done"
        assert await closing is True

    asyncio.run(scenario())


def test_a_request_that_takes_too_long_is_told() -> None:
    async def scenario() -> None:
        held, drain = Held(), Drain()
        slow = await under_way(DrainMiddleware(held, drain), held, "/v1/models")
        assert await drain.close(0.05) is False
        held.open.set()
        await slow

    asyncio.run(scenario())


def test_the_events_of_a_job_end_with_the_server() -> None:
    async def scenario() -> None:
        held, silent, drain = Held(begins=True), Held(), Drain()
        watching = await under_way(DrainMiddleware(held, drain), held, EVENTS)
        waiting = await under_way(DrainMiddleware(silent, drain), silent, EVENTS)
        assert await drain.close(5) is True
        assert (held.left, silent.left) == (1, 1)
        assert ((await watching).status_code, (await watching).text) == (200, "begun ")
        assert (await waiting).status_code == 503

    asyncio.run(asyncio.wait_for(scenario(), 4))


def test_events_that_end_by_themselves_are_whole() -> None:
    async def scenario() -> None:
        held, drain = Held(begins=True), Drain()
        watching = await under_way(DrainMiddleware(held, drain), held, EVENTS)
        held.open.set()
        assert (await watching).text == "begun done"
        assert (drain.num_open, drain.endless) == (0, set())

    asyncio.run(scenario())


def test_one_who_stops_watching_is_gone() -> None:
    async def scenario() -> None:
        held, drain = Held(), Drain()
        watching = await under_way(DrainMiddleware(held, drain), held, EVENTS)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert watching.cancelled()
        assert (held.left, drain.num_open, drain.endless) == (1, 0, set())

    asyncio.run(scenario())
