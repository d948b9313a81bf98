"""How much the front takes from clients, of whom it knows only the address."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from synthseg.config.serving import ServingConfig

_FILES_A_CONNECTION = 2.5
"""One to the client, one to the gateway, and the two ends of a pipe for every fourth, which HAProxy splices through."""
_SPARE_FILES = 200
"""Files of HAProxy that belong to no connection: its log, health checks, threads' pollers."""
_MOST_S = 86_400.0
"""HAProxy keeps a time in 31 bits of milliseconds; the front never needs more than a day."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Connections and times that HAProxy is held to."""

    connections: int
    """Clients' connections at once; the next ones wait in the kernel."""
    source_connections: int
    """Of one address at once; the next one is closed. 0 sets no bound. Loopback has none."""
    source_rate: int
    """New ones of one address in ten seconds; the next one is closed. 0 sets no bound. Loopback has none."""
    request_s: float
    """From the first byte to the last one of a request's head, and of as much of its body as HAProxy holds."""
    silence_s: float
    """Without a byte from a client that has to send or to take some, or from a gateway that has to answer."""


def bounds_of(serving: ServingConfig) -> Bounds:
    """Those of a server; as many connections as the system lets one process have (`ulimit -Hn`)."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = serving.max_connections if files == resource.RLIM_INFINITY else int((files - _SPARE_FILES) / _FILES_A_CONNECTION)
    return Bounds(
        connections=max(min(serving.max_connections, allowed), 1),
        source_connections=serving.max_source_connections,
        source_rate=serving.max_source_rate,
        request_s=min(serving.request_timeout_s, _MOST_S),
        # The gateway gives a request up after the deadline and says so; a stream has a comment every 15 s.
        silence_s=min(serving.deadline_s + 60.0, _MOST_S),
    )
