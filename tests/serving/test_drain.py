from __future__ import annotations

import asyncio
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from serving.drain import Drain


class Held:
    """An application that answers when it is let to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered += 1
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def get(drain: Drain, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(drain), base_url="http://test") as client:
        return await client.get(path)


async def under_way(drain: Drain, held: Held, path: str) -> asyncio.Task[httpx.Response]:
    before = held.entered
    task = asyncio.create_task(get(drain, path))
    while held.entered == before:
        await asyncio.sleep(0.001)
    return task


def test_what_is_under_way_finishes_and_what_comes_later_is_sent_away() -> None:
    async def scenario() -> None:
        held = Held()
        drain = Drain(held)
        first = await under_way(drain, held, "/v1/models")
        closing = asyncio.create_task(drain.close(10))
        await asyncio.sleep(0.01)
        late = await get(drain, "/v1/models")
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
        held = Held()
        drain = Drain(held)
        slow = await under_way(drain, held, "/v1/models")
        assert await drain.close(0.05) is False
        held.open.set()
        await slow

    asyncio.run(scenario())


def test_nobody_waits_for_the_events_of_a_job() -> None:
    async def scenario() -> Any:
        held = Held()
        drain = Drain(held)
        watching = await under_way(drain, held, "/v1/jobs/job-1/events")
        assert await drain.close(5) is True
        held.open.set()
        await watching

    asyncio.run(scenario())
