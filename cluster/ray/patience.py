"""Waiting for a Ray of one's own to start: on a busy machine its processes take longer than the half minute that Ray gives each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

from cluster.ray.watch import how
from synthseg.errors import RunFailure

_POLL_S = 0.1
_AT_LEAST_S = 30
"""What Ray itself waits."""
_AGENTS_AT_LEAST_S = 100
_MOST_S = 86_400


class NotUpError(RunFailure):
    """Ray was not up in time."""


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Around `ray.init(address="local", ...)`: wait that long for each part of it, where Ray waits for 30 s. NotUpError after that.

    What Ray has a variable for is set by it, for its processes in C++ too. For the node itself it has none (ray/_private/node.py): it asks
    `get_node` until 30 s are over, and here one question takes as long as need be.
    """
    from cluster.ray.compat import ray_constants, replaced, services

    whole = math.ceil(min(max(seconds, _AT_LEAST_S), _MOST_S))
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(whole))
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(whole))
    os.environ.setdefault("RAY_agent_register_timeout_ms", str(max(whole, _AGENTS_AT_LEAST_S) * 1000))
    deadline = time.monotonic() + seconds
    start_raylet, get_node = services.start_raylet, services.get_node
    raylets: list[Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> Any:
        info = start_raylet(*arguments, **options)
        raylets.append(info.process)
        return info

    def ask(*arguments: Any) -> Any:
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:  # it has not registered yet
                if time.monotonic() > deadline:
                    raise NotUpError(not_up(seconds)) from None
                if any(code is not None for code in (raylet.poll() for raylet in raylets)):
                    raise NotUpError(f"execution.address: Ray's raylet has ended while it started{how(raylets[0].returncode)}") from None
            time.sleep(_POLL_S)

    with (
        replaced(services, "start_raylet", start),
        replaced(services, "get_node", ask),
        replaced(ray_constants, "RAY_DASHBOARD_STARTUP_TIMEOUT_S", whole),
    ):
        yield


def not_up(seconds: float) -> str:
    """What to tell the user."""
    return (
        f"execution.stall_timeout_s: Ray on this machine was not up after {seconds:g} s; the machine is busy with other things or short of "
        "memory: try the same command again, or raise the limit"
    )
