from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from synthseg.machine.heartbeat import Watch, beat, forget, sign_of, signs


class Clock:
    """Stands for `time.monotonic`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_silence_counts_from_the_last_new_sign_of_any_worker(clock: Clock, tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    clock.now += 5
    assert (watch.quiet_s(), watch.heard) == (5.0, False)
    for worker in (0, 17):
        beat(tmp_path, worker)
        assert (watch.quiet_s(), watch.heard) == (0.0, True)
        clock.now += 3
        assert watch.quiet_s() == 3.0


def test_a_sign_is_new_whichever_way_its_clock_went(clock: Clock, tmp_path: Path) -> None:
    beat(tmp_path, 0)
    watch = Watch(tmp_path)
    for moment in (2e12, 5.0, 1e9):
        clock.now += 60
        assert watch.quiet_s() == 60.0
        os.utime(sign_of(tmp_path, 0), (moment, moment))
        assert watch.quiet_s() == 0.0


def test_a_watch_does_not_count_what_was_there_before_it_as_new(clock: Clock, tmp_path: Path) -> None:
    beat(tmp_path, 0)
    watch = Watch(tmp_path)
    clock.now += 2
    assert (watch.quiet_s(), watch.heard) == (2.0, True)
    forget(tmp_path)
    assert signs(tmp_path) == []
    assert not Watch(tmp_path).heard


def test_a_folder_that_is_not_there_yet_is_silent(clock: Clock, tmp_path: Path) -> None:
    assert not Watch(tmp_path / "later").heard
