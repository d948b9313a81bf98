"""Server-sent events, and waiting for an answer while watching that somebody still wants it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.http.contracts import DeadlineExceeded
from serving.http.errors import revoked, translate, unexpected

Answer = TypeVar("Answer")

HEARTBEAT_S: Final = 15.0
"""Silence after which a comment is sent, so that proxies keep the connection."""
_LAST_WORD_S: Final = 5.0
"""Time for the last event of a stream whose key has been revoked."""
DONE: Final = "[DONE]"
"""Last data of OpenAI's text streams."""

EVENT_STREAM_CONTENT: Final[dict[str, Any]] = {
    "text/event-stream": {
        "schema": {
            "description": "One event of the stream.",
            "type": "object",
            "required": ["data"],
            "properties": {"event": {"type": "string"}, "data": {"type": "string", "contentMediaType": "application/json"}},
        }
    }
}
"""OpenAPI `content` of an answer that is a stream."""

_LOG = logging.getLogger("synthseg.serving")


class ClientGone(Exception):
    """The client closed the connection; nobody reads an answer any more."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `data` is JSON, or a bare string such as `[DONE]`."""

    data: Mapping[str, Any] | str
    name: str = ""

    def encode(self) -> bytes:
        """The event on the wire."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, separators=(",", ":"), allow_nan=False)
        return (f"event: {self.name}\n" if self.name else "").encode() + f"data: {data}\n\n".encode()


async def while_connected(request: Request, work: Awaitable[Answer]) -> Answer:
    """The result of `work`, which is cancelled the moment the client goes away (ClientGone) or its key is revoked (ApiError 401). The body
    must have been read.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    ended = _key_ended(request.scope)
    try:
        await asyncio.wait((task, gone, ended), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise revoked() if ended.done() else ClientGone
    finally:
        await stop(task, gone, ended)


async def before(deadline_s: float, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, or DeadlineExceeded after `deadline_s`."""
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except TimeoutError:
        raise DeadlineExceeded from None


async def within(deadline_s: float, items: AsyncGenerator[Answer, None]) -> AsyncGenerator[Answer, None]:
    """`items` until `deadline_s` from now, then DeadlineExceeded. The time a slow reader takes counts too."""
    end = asyncio.get_running_loop().time() + deadline_s
    async with contextlib.aclosing(items):
        while True:
            try:
                async with asyncio.timeout_at(end):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise DeadlineExceeded from None
            yield item


async def event_stream(request: Request, events: AsyncGenerator[Event, None], *, at_once: bool = False) -> EventStream:
    """A response of `events`. The first one is awaited here, so that a refusal is still an HTTP error and no broken stream.

    `at_once` is for events that may be hours in coming, and whose refusals have been looked for: the answer begins, and is kept alive,
    without one.
    """
    pump = _Pump(events)
    first = asyncio.ensure_future(pump.next())
    if not at_once:
        try:
            await while_connected(request, first)
        except BaseException:
            await pump.stop()
            raise
    return EventStream(first, pump)


class _Pump:
    """Runs a generator in one task, one event ahead of its reader, so that timeouts and cancellation inside it work as written."""

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._ahead: asyncio.Queue[Event | Exception | None] = asyncio.Queue(maxsize=1)
        self._task = asyncio.create_task(self._run(events))

    async def next(self) -> Event | None:
        """The next event, None after the last; raises what the generator raised."""
        found = await self._ahead.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def stop(self) -> None:
        """End the generator, and with it the work behind it."""
        await stop(self._task)

    async def _run(self, events: AsyncGenerator[Event, None]) -> None:
        last = None
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._ahead.put(event)
        except Exception as error:  # noqa: BLE001 - it belongs to the reader
            last = error
        await self._ahead.put(last)


class EventStream(Response):
    """Sends events as they come. When the client leaves, the generator is closed and with it the work behind it."""

    media_type = "text/event-stream"

    def __init__(self, first: asyncio.Future[Event | None], pump: _Pump) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._pump = pump

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        gone, ended = asyncio.ensure_future(_disconnected(receive)), _key_ended(scope)
        sender = asyncio.ensure_future(self._send_all(scope, send, ended))
        try:
            await asyncio.wait((sender, gone, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not sender.done():  # it sends the reason, unless its reader has stopped reading
                await asyncio.wait((sender, gone), timeout=_LAST_WORD_S, return_when=asyncio.FIRST_COMPLETED)
            if not sender.done():
                raise ClientGone
            sender.result()
        except OSError:
            raise ClientGone from None
        finally:
            await stop(sender, gone, ended, self._first)
            await self._pump.stop()

    async def _send_all(self, scope: Scope, send: Send, ended: asyncio.Future[Any]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._chunks(scope, ended)) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self, scope: Scope, ended: asyncio.Future[Any]) -> AsyncGenerator[bytes, None]:
        following = self._first
        try:
            while True:
                while not (await asyncio.wait((following, ended), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                    yield b": still working\n\n"
                if ended.done():
                    raise revoked()
                event = following.result()
                if event is None:
                    return
                yield event.encode()
                following = asyncio.ensure_future(self._pump.next())
        except Exception as error:  # noqa: BLE001 - the status line is long sent: the stream itself must say what went wrong
            known = translate(error)
            if known is None:
                _LOG.exception("stream failed")
            known = known or unexpected()
            scope.setdefault("state", {})["stream_error"] = known
            yield Event(known.body.model_dump(), "error").encode()
        finally:
            following.cancel()


def _key_ended(scope: Scope) -> asyncio.Future[Any]:
    """Done once the key of this request is revoked; `AccessMiddleware` watches it."""
    ended: asyncio.Event = scope.get("state", {}).get("key_ended", asyncio.Event())
    return asyncio.ensure_future(ended.wait())


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stop(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is still running and wait until it has let go of what it held."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
