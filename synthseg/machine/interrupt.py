"""Ctrl-C, SIGTERM and SIGHUP that cannot get lost: each ends a command in one way, whenever it comes.

Python raises what a handler raises wherever the main thread happens to be; inside a destructor or a library's callback it is
swallowed, and a library may turn it into an error of its own. The request is therefore remembered: a run's own loops ask for it, and the
front door tells it in place of any error that came after it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

WORDS: Final = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
"""The signals that end a command, and what the command then says of itself."""

_REPEAT_S: Final = 0.5
"""The same signal this soon is no second one: make, for example, hands on to its child what the whole process group has been sent."""

SHOW_CURSOR: Final = "\x1b[?25h\n"
"""To be written to a terminal before the last line of a process that ends at once: a progress bar has hidden the cursor."""

_asked: list[Interrupted] = []
"""The request since `remembered` began, when there is one."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end. A KeyboardInterrupt, so that nothing which lets Ctrl-C through holds it back."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)
        self.at = time.monotonic()

    @property
    def exit_code(self) -> int:
        """What a shell calls a process that this signal ended: 130, 143 or 129."""
        return 128 + self.number

    @property
    def line(self) -> str:
        """The one line for the user."""
        return f"{WORDS[self.number]}; the same command resumes"


@contextmanager
def remembered() -> Iterator[None]:
    """Remember the signals of `WORDS` for the duration of the block. A second one ends the process at once.

    Inside another such block, and off the main thread, where no handler can be set, it changes nothing. A SIGHUP that is ignored, as
    under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is on_signal:
        yield
        return
    _asked.clear()
    before = {number: signal.getsignal(number) for number in WORDS}
    for number, handler in before.items():
        if not (number == signal.SIGHUP and handler is signal.SIG_IGN):
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> Interrupted | None:
    """What asked this process to end, None when nothing has."""
    return _asked[0] if _asked else None


def check() -> None:
    """Interrupted if it was asked for."""
    if _asked:
        raise _asked[0]


def on_signal(number: int, _: FrameType | None) -> None:
    """Ask this process to end; when it has been asked before, end it now."""
    request = Interrupted(number)
    if not _asked:
        _asked.append(request)
    elif number != _asked[0].number or request.at - _asked[0].at > _REPEAT_S:
        end_now(request)
    raise _asked[0]


def end_now(request: Interrupted) -> None:
    """Print the one line and end the process at once, without cleaning up. What was published stays whole; child processes end, too."""
    with contextlib.suppress(OSError, ValueError):
        shown = SHOW_CURSOR if sys.stderr.isatty() else ""
        os.write(2, f"{shown}{request.line}\n".encode())
    os._exit(request.exit_code)
