"""Signals while Ray starts: those of `synthseg.machine.interrupt` keep their meaning, and Ray's own processes are left to Ray.

Three things of Ray stand in the way. `ray.init` makes SIGTERM `sys.exit(15)`. Its core library then lets SIGTERM print a C++ stack and kill
the process (absl's failure signal handler, for which there is no switch). And what it starts shares the driver's process group, so that a
signal to the group, which is what a terminal, a shell or a batch system sends, takes the cluster away under a driver that is about to
put it in order; the core library then ends the driver without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.ray.compat import raylet, replaced, services, utils
from synthseg.machine import interrupt

_started: list[_OwnGroup] = []


class _OwnGroup(services.ConsolePopen):  # type: ignore[misc] # no types: `compat`
    """A process of Ray's in a process group of its own. Fate sharing, by which it ends with the driver however that ends, stays."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"process_group": 0, **options})
        _started.append(self)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Start Ray inside. Afterwards the handlers of before are in place, and nothing is left of a start that did not end well.

    Off the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    core_worker = raylet.CoreWorker

    def quiet_core_worker(*arguments: Any, **options: Any) -> Any:
        # The threads that it starts inherit the mask, so a signal that comes meanwhile waits for this thread.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupt.WORDS)
        try:
            return core_worker(*arguments, **options)
        finally:
            handler = signal.getsignal(signal.SIGTERM)
            if handler is not None:
                signal.signal(signal.SIGTERM, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    with (
        replaced(utils, "set_sigterm_handler", _leave),
        replaced(raylet, "CoreWorker", quiet_core_worker),
        replaced(services, "ConsolePopen", _OwnGroup),
    ):
        _started.clear()
        try:
            yield
        except BaseException:
            _end_what_started()
            raise


def _end_what_started() -> None:
    """Kill the processes of a start that was cut short, which Ray knows nothing of yet, with their children."""
    for process in _started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _leave(_: Any) -> None:
    """In place of setting a handler."""
