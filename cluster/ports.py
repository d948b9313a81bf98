"""Which TCP ports are free on this machine, and who holds those that are not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


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


def owner_of(port: int) -> str:
    """Program and process id that listen on `port`, as far as this user may see them."""
    inodes = set(_inodes(port))
    for process in Path("/proc").glob("[0-9]*"):
        if inodes.intersection(_links(process)):
            return f"{_program(process)} (process {process.name})"
    return "another program"


def _links(process: Path) -> Iterator[str]:
    """What the process has open; nothing where this user may not look, and without what is closed meanwhile."""
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(link.readlink())


def _inodes(port: int) -> Iterator[str]:
    """Sockets that listen on `port`, as the links in a process's file descriptors name them."""
    for table in map(Path, _TABLES):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _program(process: Path) -> str:
    words = (process / "cmdline").read_bytes().split(b"\0")
    name = Path(words[0].decode(errors="replace")).name
    if name.startswith("python") and len(words) > 1:
        # The script or module says more than the interpreter.
        rest = [word.decode(errors="replace") for word in words[1:] if word and not word.startswith(b"-")]
        return Path(rest[0]).name if rest else name
    return name or "another program"
