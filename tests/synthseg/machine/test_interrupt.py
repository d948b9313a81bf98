from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from synthseg.machine import interrupt

pytestmark = pytest.mark.usefixtures("hangup_heard")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.sigtimedwait([], 0.1)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_that_was_swallowed_is_raised_again(number: signal.Signals) -> None:
    with interrupt.remembered():
        interrupt.check()
        assert interrupt.asked() is None
        with contextlib.suppress(KeyboardInterrupt):
            send(number)
        with pytest.raises(interrupt.Interrupted) as raised:
            interrupt.check()
        assert (raised.value.number, raised.value.exit_code) == (number, 128 + number)
        assert interrupt.asked() is raised.value


def test_the_handlers_before_are_restored_and_a_new_run_starts_clean() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interrupt.remembered():
        assert signal.getsignal(signal.SIGTERM) is interrupt.on_signal
        interrupt.check()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_block_inside_another_keeps_the_request() -> None:
    with interrupt.remembered():
        with pytest.raises(KeyboardInterrupt), interrupt.remembered():
            send(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is interrupt.on_signal
        with interrupt.remembered(), pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_under_nohup_a_hangup_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt.remembered():
            send(signal.SIGHUP)
            interrupt.check()
    finally:
        signal.signal(signal.SIGHUP, before)


SCRIPT = """
import os, signal, time
from synthseg.machine import interrupt
with interrupt.remembered():
    try:
        os.kill(os.getpid(), signal.SIG{first})
    finally:
        time.sleep({pause})
        try:
            os.kill(os.getpid(), signal.SIG{second})
        finally:
            print("still here", flush=True)
"""


def two_signals(first: str, second: str, pause: float) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(first=first, second=second, pause=pause)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False, timeout=60)


@pytest.mark.parametrize(
    ("first", "second", "pause", "code", "word"), [("INT", "TERM", 0, 143, "terminated"), ("INT", "INT", 0.7, 130, "interrupted")]
)
def test_a_second_signal_ends_the_process_at_once(first: str, second: str, pause: float, code: int, word: str) -> None:
    done = two_signals(first, second, pause)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{word}; the same command resumes\n")


def test_what_a_group_and_its_parent_send_at_once_is_one_request() -> None:
    assert two_signals("TERM", "TERM", 0).stdout == "still here\n"
