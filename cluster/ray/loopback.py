"""Keeps a Ray of one's own on loopback: its servers in C++ and the dashboard's follow the node's address, Serve's replicas need a hand.

Ray itself offers neither: `ray.init(_node_ip_address="127.0.0.1")` is taken for the machine's outer address (`resolve_ip_for_localhost`),
and replicas listen at "[::]:0" (ray/serve/_private/replica.py). Imported by every worker process, so it loads next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ADDRESS = "127.0.0.1"


@contextmanager
def node_on_loopback() -> Iterator[None]:
    """Around `ray.init(address="local", ...)`: the node's address is loopback, as it is on systems where Ray makes no clusters.

    What Ray starts inherits the same by a variable: the agent that starts jobs joins the cluster, too, and would look for it outside.
    """
    from cluster.ray.compat import ray_constants, replaced

    before = os.environ.get(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR)
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    try:
        with replaced(ray_constants, "ENABLE_RAY_CLUSTER", False):
            yield
    finally:
        if before is None:
            del os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR]
        else:
            os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = before


def listen_on_loopback() -> None:
    """The `worker_process_setup_hook` of such a Ray: Serve's gRPC servers in this process listen on loopback."""
    from cluster.ray.compat import grpc_servers

    servers = grpc_servers()
    anywhere = servers.add_port_to_grpc_server

    def add_port(server: Any, address: str) -> int:
        host, _, port = address.rpartition(":")
        port_number: int = anywhere(server, f"{ADDRESS if host == '[::]' else host}:{port}")
        return port_number

    servers.add_port_to_grpc_server = add_port  # type: ignore[attr-defined]
