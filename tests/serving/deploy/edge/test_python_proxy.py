"""Serve's proxy in Python is uvicorn, here as Serve makes it after its hook has been called."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import auto

from serving.deploy.edge import python_proxy
from serving.deploy.edge.bounds import Bounds
from serving.http.request_id import PlainRequestId
from tests.serving.deploy.edge.gateway import get, half_open
from tests.waiting import until

BOUNDS = Bounds(connections=5000, source_connections=20, source_rate=0, request_s=1.0, silence_s=30.0)


async def hello(scope: dict[str, Any], _: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@contextmanager
def proxy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        server = uvicorn.Server(uvicorn.Config(hello, lifespan="off", log_config=None, log_level="critical", timeout_keep_alive=75))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture(autouse=True)
def hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
    for name, value in python_proxy.hook(BOUNDS).items():
        monkeypatch.setenv(name, value)
    assert [middleware.cls for middleware in python_proxy.serve_middlewares()] == [PlainRequestId]
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_head_that_does_not_end_is_cut_off_and_others_are_answered() -> None:
    with proxy() as port, ExitStack() as keep:
        (first, *_) = half_open(port, 1000, keep)
        assert get(port).status == 200
        first.settimeout(10)
        assert first.recv(1) == b""


def test_a_second_head_on_a_connection_is_timed_too_and_a_pause_between_two_is_not() -> None:
    with proxy() as port, socket.create_connection(("127.0.0.1", port)) as client:
        whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        client.settimeout(10)
        for _ in range(2):
            client.sendall(whole)
            until(lambda: client.recv(1000).endswith(b"hello"))
            time.sleep(1.5 * BOUNDS.request_s)
        client.sendall(whole[:10])
        assert client.recv(1) == b""


def test_one_address_has_its_bound_and_loopback_has_none() -> None:
    with proxy() as port, ExitStack() as keep:
        half_open(port, 30, keep, "127.0.0.2")
        half_open(port, 30, keep)
        with pytest.raises(ConnectionError):
            get(port, source="127.0.0.2")
        assert get(port).status == 200
        until(lambda: succeeds(port, "127.0.0.2"))  # those of before have been cut off


def succeeds(port: int, source: str) -> bool:
    try:
        return get(port, source=source).status == 200
    except ConnectionError:
        return False
