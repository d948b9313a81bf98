"""Ports that are free now and, as far as a machine can promise it, a while later."""

from __future__ import annotations

import random
import socket

from synthseg.errors import RunFailure

_RANGE = range(20_000, 30_000)
"""Between the ports of Ray's workers and those of Serve's ingress, and below those that Linux gives to outgoing connections."""
_TRIES = 1_000


def free_port(host: str) -> int:
    """A port nothing listens on at `host`. RunFailure when none is found."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in random.SystemRandom().sample(_RANGE, _TRIES):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RunFailure(f"serving.port: no free port between {_RANGE.start} and {_RANGE.stop} at {host}; name one")
