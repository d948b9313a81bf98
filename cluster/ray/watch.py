"""Says what has died when Ray dies under a command, which otherwise ends without a line (or waits for ever).

Ray's core ends the whole process when it loses its head, and its only message is at a log level that is off (`cluster/ray/start.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from subprocess import Popen
from typing import Any

import psutil

from synthseg.machine import interrupt

_POLL_S = 0.1
_ENDING_S = 0.5
"""A signal to a whole process group ends Ray and this process together, which then says so itself."""
_HEARING_S = 1.5
"""Ray lets Python hear a signal once a second."""
_DIAL_S = 5.0
_AWAY_S = 45.0
"""A cluster's head may come back. Ray itself ends the process after 60 s (RAY_gcs_rpc_server_reconnect_timeout_s)."""
_HELD = {"gcs_server": "the head of Ray (gcs_server)", "raylet": "Ray's raylet"}


class Watch:
    """Watches Ray from a thread until `stop()`. When it dies, prints one line that ends with `way_out`, and ends the process with 1."""

    def __init__(self, way_out: str) -> None:
        self._way_out = way_out
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def own(self, processes: dict[str, Popen[bytes]]) -> None:
        """Watch the processes of a Ray that this one has started, by their names."""
        self._start(lambda: self._watch_processes(processes))

    def joined(self, address: str) -> None:
        """Watch the head of a cluster, at `HOST:PORT`."""
        self._start(lambda: self._watch_address(address))

    def stop(self) -> None:
        """Ray may end from now on."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _start(self, watch: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
        self._thread.start()

    def _watch_processes(self, processes: dict[str, Popen[bytes]]) -> None:
        while not self._stopped.wait(_POLL_S):
            for name, process in processes.items():
                code = process.poll()
                if code is not None and not self._stopped.wait(_ENDING_S):
                    self._end(f"{_HELD[name]} has ended{how(code)}", psutil.Process().children(recursive=True))

    def _watch_address(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        seen = time.monotonic()
        while not self._stopped.wait(_DIAL_S):
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_DIAL_S).close()
                seen = time.monotonic()
            except OSError:
                if time.monotonic() - seen > _AWAY_S:
                    self._end(f"execution.address: the head of Ray at {address} has not answered for {_AWAY_S:g} s")

    def _end(self, what: str, others: Sequence[psutil.Process] = ()) -> None:
        """Say `what` and end this process together with `others`: the processes of a Ray without its head would wait a minute for it."""
        # A batch system sends its signal to every process: Ray may be gone before this one's main thread, busy inside Ray, has heard it.
        give_up = time.monotonic() + _HEARING_S
        while time.monotonic() < give_up:
            if request := interrupt.asked():
                interrupt.end_now(request)
            if self._stopped.wait(_POLL_S):
                return
        shown = interrupt.SHOW_CURSOR if sys.stderr.isatty() else ""
        print(f"{shown}error: {what}; {self._way_out}", file=sys.stderr, flush=True)  # noqa: T201 - the process ends with it
        for process in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        os._exit(1)


def how(code: int) -> str:
    """How a process ended, from its return code, to stand after what has ended."""
    if code == -signal.SIGKILL:
        return " (killed by SIGKILL, as the system does when memory runs out)"
    return f" (killed by {signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"


def processes_of(node: Any) -> dict[str, Popen[bytes]]:
    """Those processes of the Ray node that this process has started (`ray._private.node.Node`) without which it cannot go on."""
    return {name: node.all_processes[name][0].process for name in _HELD if name in node.all_processes}
