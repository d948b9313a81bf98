from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from serving.http.request_id import PlainRequestId, request_id

Pairs = list[tuple[bytes, bytes]]


def scope(*values: bytes) -> Scope:
    return {"type": "http", "headers": [(b"host", b"x"), *((b"x-request-id", value) for value in values)]}


@pytest.mark.parametrize("value", [b"trace-7", b"a.B_3-" + b"x" * 120])
def test_a_plain_id_is_kept(value: bytes) -> None:
    assert request_id(scope(value)) == value.decode()


@pytest.mark.parametrize("values", [(), (b"",), (b"a b",), (b"x" * 129,), (b"caf\xe9",), (b"one", b"two"), (b'"><script>',)])
def test_any_other_id_is_replaced(values: tuple[bytes, ...]) -> None:
    first, second = (request_id(scope(*values)) for _ in range(2))
    assert first != second
    assert first.startswith("req_")


@pytest.mark.parametrize(("values", "kept"), [((b"trace-7",), True), ((b"a b",), False), ((b"one", b"two"), False)])
def test_the_application_and_whatever_is_around_it_see_one_plain_id(values: tuple[bytes, ...], kept: bool) -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(Headers(scope=scope).getlist("x-request-id"))
        await PlainTextResponse("fine")(scope, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(PlainRequestId(inner))
        headers: Any = [("x-request-id", value) for value in values]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/", headers=headers)

    assert asyncio.run(ask()).text == "fine"
    assert len(seen) == 1
    assert (seen == [values[0].decode()]) == kept


def test_a_request_without_an_id_gets_none_here() -> None:
    """Ray Serve makes one for it."""
    seen: list[str] = []

    async def inner(scope: Scope, _: Receive, __: Send) -> None:
        seen.extend(Headers(scope=scope).getlist("x-request-id"))

    asyncio.run(PlainRequestId(inner)(scope(), None, None))  # type: ignore[arg-type]
    assert seen == []
