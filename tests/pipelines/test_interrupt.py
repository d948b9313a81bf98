from __future__ import annotations

import os
import signal

import pytest

from pipelines import interrupt


def test_an_interrupt_that_was_swallowed_is_raised_again() -> None:
    with interrupt.remembered():
        interrupt.check()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 0.1)
        except KeyboardInterrupt:
            pass
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_the_handler_before_is_restored_and_a_new_run_starts_clean() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupt.remembered():
        assert signal.getsignal(signal.SIGINT) is not before
        interrupt.check()
    assert signal.getsignal(signal.SIGINT) is before
