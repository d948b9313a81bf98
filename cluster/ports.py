"""TCP ports of this machine: which are free, and who holds those that are not."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from synthseg.errors import RunFailure

_RANGE: Final = range(20_000, 30_000)
"""Between the ports of Ray's workers and those of Serve's ingress, and below those that Linux gives to outgoing connections."""
_TRIES: Final = 1_000


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host` and `port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """A port nothing listens on at `host`, which probably stays free for a while. RunFailure when none is found."""
    for port in random.SystemRandom().sample(_RANGE, _TRIES):
        if port_is_free(host, port):
            return port
    raise RunFailure(f"serving.port: no free port between {_RANGE.start} and {_RANGE.stop} at {host}; name one")


def owner_of(port: int) -> str:
    """Program and process id that listen on `port`, as far as this user may see them."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{_program(psutil.Process(connection.pid))} (process {connection.pid})"
    return "another program"


def _program(process: psutil.Process) -> str:
    name = Path(process.exe() or process.name()).name
    if name.startswith("python"):
        # The script or module says more than the interpreter.
        rest = [word for word in process.cmdline()[1:] if word and not word.startswith("-")]
        return Path(rest[0]).name if rest else name
    return name
