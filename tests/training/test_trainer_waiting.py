"""How a driver waits for a training and tells its end, with Ray's answers made up."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.train import TrainingFailedError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from synthseg.errors import DiskFull, RunFailure
from synthseg.machine import interrupt
from training import trainer


@pytest.fixture
def never_done(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Make Ray say each time that the training goes on; what is given is told how often it has been asked."""
    monkeypatch.setattr(trainer, "_START_S", 0.0)
    monkeypatch.setattr(trainer, "collect", lambda _: "stacks")
    asked = iter(range(10**6))

    def install(each: Callable[[int], None]) -> None:
        def wait(*_: Any, **__: Any) -> tuple[list[Any], list[Any]]:
            time.sleep(0.01)
            each(next(asked))
            return [], []

        monkeypatch.setattr(trainer.ray, "wait", wait)

    return install


def test_no_sign_of_life_is_a_stall_whatever_the_clock_says(never_done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time() + 10**6
    (tmp_path / "alive-0").touch()
    os.utime(tmp_path / "alive-0", (ahead, ahead))  # a file server whose clock is days ahead
    never_done(lambda _: None)
    with pytest.raises(RunFailure, match=r"^stalled: toy training made no step for 0 s; .*; the same command resumes$"):
        trainer._wait("toy", object(), tmp_path, 0.2, tmp_path)
    assert (tmp_path / "stacks.txt").read_text(encoding="utf-8") == "stacks"


def test_signs_of_life_are_no_stall_whatever_the_clock_says(never_done: Any, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def beat_in_the_past(asked: int) -> None:
        (tmp_path / "alive-0").touch()
        os.utime(tmp_path / "alive-0", (asked, asked))
        if asked == 60:
            raise Enough

    never_done(beat_in_the_past)
    with pytest.raises(Enough):
        trainer._wait("toy", object(), tmp_path, 0.3, tmp_path)


def test_a_signal_that_was_swallowed_ends_the_wait(never_done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never_done(lambda asked: monkeypatch.setattr(interrupt, "_asked", [interrupt.Interrupted(signal.SIGTERM)]) if asked == 3 else None)
    with pytest.raises(interrupt.Interrupted):
        trainer._wait("toy", object(), tmp_path, 30, tmp_path)


DEAD = ray.exceptions.ActorUnavailableError("gone.\nmore\nlines\nof Ray", b"\0" * 16)


@pytest.mark.parametrize(
    "failure", [DEAD, WorkerHealthCheckFailedError("a check failed", DEAD), WorkerHealthCheckTimeoutError("a check did not end")]
)
def test_a_lost_worker_is_told_without_ray_s_lines(failure: Exception) -> None:
    error = WorkerGroupError(f"rank 1: {failure}", {1: failure})
    for seen in (error, ControllerError(failure), DEAD):
        assert trainer._reason(seen, trainer._failures(seen)) == "a worker is gone (killed, out of memory, or its machine lost)"


def test_a_lost_worker_of_which_the_text_alone_is_left_is_told_so_too() -> None:
    error = WorkerGroupError("rank 0:\nThe actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR", {})
    assert trainer._reason(error, trainer._failures(error)).startswith("a worker is gone")


def test_a_worker_s_own_error_is_told_by_its_last_line() -> None:
    error: TrainingFailedError = WorkerGroupError("Traceback\n  a line\nValueError: no such luck", {0: ValueError("no such luck")})
    assert trainer._reason(error, trainer._failures(error)) == "ValueError: no such luck"


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (WorkerGroupError("rank 0", {0: DiskFull("out: no space left to write 'state.pt'; free some")}), DiskFull, "'state.pt'"),
        (ControllerError(full_disk()), DiskFull, "out: no space left to write '{out}'; free some"),
        (WorkerGroupError("rank 0", {0: WorkerHealthCheckFailedError("a check failed", full_disk())}), DiskFull, "'{out}'"),
        (ControllerError(WorkerGroupStartupTimeoutError(2)), RunFailure, "the cluster had no room for 2 toy workers"),
    ],
)
def test_a_failure_is_told_wherever_ray_train_keeps_it(
    raised: Exception, kind: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def fails(*_: Any) -> Iterator[None]:
        raise raised
        yield

    monkeypatch.setattr(trainer, "own_process", fails)
    monkeypatch.setattr(trainer.ray, "cluster_resources", dict)
    with pytest.raises(kind) as caught:
        trainer.train_workers("toy", print, {}, tmp_path, 2, stall_timeout_s=3, stacks=tmp_path)
    assert type(caught.value) is kind
    assert told.format(out=tmp_path) in str(caught.value)
