from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from serving.http import errors, streams
from serving.http.contracts import DeadlineExceeded, EngineUnavailable
from serving.http.streams import Event, event_stream, within
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.waiting import until

BODY = {"prompt": "a boat on a lake", "size": "64x64"}


def send_and_leave(address: str, body: dict[str, Any], act: Callable[[], None]) -> None:
    """Post a request, `act`, then close the connection without reading an answer."""
    connection = http.client.HTTPConnection(urlparse(address).netloc)
    connection.request("POST", "/v1/images/generations", json.dumps(body), {"content-type": "application/json"})
    act()
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.mark.parametrize("extra", [{}, {"stream": True}, {"stream": True, "partial_images": 1}])
def test_a_client_that_leaves_frees_its_places(address: str, backend: LocalBackend, extra: dict[str, Any]) -> None:
    """One engine call is held, more requests queue behind it; when their clients leave, the queue is empty and nothing is painted."""
    stats = backend.batcher.stats
    backend.gate.close()

    def held() -> None:
        until(backend.gate.reached.is_set)

    def queued() -> None:
        until(lambda: stats.queued == 3)

    send_and_leave(address, {**BODY, "size": "32x32"}, held)
    send_and_leave(address, {**BODY, "n": 3, **extra}, queued)
    until(lambda: stats.queued == 0)
    backend.gate.open()
    until(lambda: stats.running == 0)
    assert [call.width for call in backend.image_calls] == [32]
    metrics = http.client.HTTPConnection(urlparse(address).netloc)

    def numbers() -> str:
        metrics.request("GET", "/metrics")
        return metrics.getresponse().read().decode()

    until(lambda: "synthseg_client_disconnects_total 2.0" in numbers())
    assert "synthseg_http_requests_in_flight 1.0" in numbers()  # this one
    metrics.close()


def test_a_key_is_free_again_after_its_client_left(address: str, backend: LocalBackend) -> None:
    backend.gate.close()
    key = {"content-type": "application/json", "idempotency-key": "k"}
    first = http.client.HTTPConnection(urlparse(address).netloc)
    first.request("POST", "/v1/images/generations", json.dumps(BODY), key)
    until(backend.gate.reached.is_set)
    first.close()
    backend.gate.open()
    statuses: list[int] = []

    def answered() -> bool:
        second = http.client.HTTPConnection(urlparse(address).netloc)
        second.request("POST", "/v1/images/generations", json.dumps(BODY), key)
        statuses.append(second.getresponse().status)
        second.close()
        return statuses[-1] == 200

    until(answered)
    assert set(statuses[:-1]) <= {409}


def stream_app(events: Callable[[], AsyncGenerator[Event, None]], *, at_once: bool = False) -> FastAPI:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    async def route(request: Request) -> Any:
        return await event_stream(request, events(), at_once=at_once)

    return app


def test_a_failure_before_the_first_event_is_an_http_error() -> None:
    async def events() -> AsyncGenerator[Event, None]:
        raise EngineUnavailable
        yield Event("never")

    with TestClient(stream_app(events)) as client:
        answer = client.get("/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")


@pytest.mark.parametrize(("error", "code"), [(DeadlineExceeded(), "deadline_exceeded"), (RuntimeError("secret"), "internal_error")])
def test_a_failure_in_the_middle_is_an_error_event(error: Exception, code: str) -> None:
    async def events() -> AsyncGenerator[Event, None]:
        yield Event({"n": 1}, "number")
        raise error

    with TestClient(stream_app(events)) as client:
        answer = client.get("/")
    first, second = answer.text.strip().split("\n\n")
    assert first == 'event: number\ndata: {"n":1}'
    name, data = second.split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == code
    assert "secret" not in answer.text


def test_an_empty_stream_is_empty() -> None:
    async def events() -> AsyncGenerator[Event, None]:
        return
        yield Event("never")

    with TestClient(stream_app(events)) as client:
        assert client.get("/").content == b""


def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)

    async def events() -> AsyncGenerator[Event, None]:
        yield Event("1")
        await asyncio.sleep(0.1)
        yield Event("2")

    with TestClient(stream_app(events)) as client:
        lines = client.get("/").text.split("\n\n")
    assert lines[0] == "data: 1"
    assert lines[1] == ": still working"
    assert lines[-2] == "data: 2"


def test_a_stream_that_begins_at_once_does_not_wait_for_its_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)
    release = threading.Event()

    async def events() -> AsyncGenerator[Event, None]:
        while not release.is_set():
            await asyncio.sleep(0.01)
        yield Event("1")
        raise EngineUnavailable

    with serve(stream_app(events, at_once=True)) as address:
        connection = http.client.HTTPConnection(urlparse(address).netloc, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(15) == b": still working"
        release.set()
        rest = answer.read().decode()
        connection.close()
    assert "data: 1\n\nevent: error\ndata: " in rest
    assert rest.count("data: ") == 2


def test_the_generator_s_own_cleanup_runs_when_the_client_leaves(tmp_path: Path) -> None:
    closed = []

    async def events() -> AsyncGenerator[Event, None]:
        try:
            async with asyncio.timeout(60):
                yield Event("1")
                await asyncio.Event().wait()
        finally:
            closed.append(True)

    with serve(stream_app(events)) as address:
        connection = http.client.HTTPConnection(urlparse(address).netloc)
        connection.request("GET", "/")
        assert connection.getresponse().read(7) == b"data: 1"
        assert not closed
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        until(lambda: bool(closed))


def test_within_gives_up_at_the_deadline_and_closes_the_source() -> None:
    closed = []

    async def source() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    found = []

    async def scenario() -> None:
        async for item in within(0.05, source()):
            found.append(item)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(scenario())
    assert found == [1]
    assert closed
