"""Lets `ray.init` start a head whose dashboard agent takes any free port.

The agent runs submitted jobs. Its port is fixed (52365) and `ray.init`, unlike `ray start`, has no argument for it; on a machine
that has a second cluster the agent then cannot listen, and every job is refused with "No available agent".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from ray._private import parameter


@contextmanager
def any_agent_port() -> Iterator[None]:
    """Around `ray.init(include_dashboard=True, ...)`: the agent's port is chosen by the system."""
    fixed = parameter.RayParams
    parameter.RayParams = functools.partial(fixed, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        parameter.RayParams = fixed
