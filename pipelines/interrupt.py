"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be; inside a destructor or a library's callback it is
swallowed. The request is therefore remembered, and the run's own loops ask for it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Remember SIGINT for the duration of a run. Off the main thread, where no handler can be set, it changes nothing."""
    _requested.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check() -> None:
    """KeyboardInterrupt if one was asked for."""
    if _requested.is_set():
        raise KeyboardInterrupt


def _on_interrupt(_: int, __: FrameType | None) -> None:
    _requested.set()
    raise KeyboardInterrupt
