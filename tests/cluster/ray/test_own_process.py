"""A call in a process of its own: its values come back, and one that is given up leaves nothing, neither there nor in the driver."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from cluster.ray.own_process import own_process
from tests.waiting import until


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def give_up(function: Callable[[Path], object], folder: Path, after: str) -> None:
    """Call `function(folder)` and raise KeyboardInterrupt as soon as the file `after` holds something."""
    with own_process(function, folder):
        until(lambda: (folder / after).exists() and (folder / after).read_text(encoding="utf-8") != "")
        raise KeyboardInterrupt


class Hog:
    """Holds the cluster's one CPU and says that it lives."""

    def hold(self, path: Path) -> None:
        """Never returns."""
        path.write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(600)


def hang(folder: Path) -> None:
    (folder / "call").write_text(str(os.getpid()), encoding="utf-8")
    ray.get(ray.remote(num_cpus=1)(Hog).remote().hold.remote(folder / "hog"))


def hang_after_one(folder: Path) -> Iterator[int]:
    yield 1
    hang(folder)


def double(number: int) -> int:
    return number * 2


def count(most: int) -> Iterator[int]:
    yield from range(most)


def test_values_come_back(cluster: None) -> None:
    with own_process(double, 21) as number:
        assert ray.get(number) == 42
    with own_process(count, 3) as numbers:
        assert [ray.get(number) for number in numbers] == [0, 1, 2]


def test_the_next_call_gets_the_process_whose_call_ended_well_unless_it_is_gone(cluster: None) -> None:
    with own_process(os.getpid) as pid:
        first = ray.get(pid)
    with own_process(os.getpid) as pid:
        assert ray.get(pid) == first
    os.kill(first, signal.SIGKILL)
    with own_process(os.getpid) as pid:
        assert ray.get(pid) != first


@pytest.mark.parametrize("function", [hang, hang_after_one])
def test_a_call_that_is_given_up_leaves_nothing(cluster: None, tmp_path: Path, function: Callable[[Path], object]) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        give_up(function, tmp_path, after="hog")
    pids = [int((tmp_path / name).read_text(encoding="utf-8")) for name in ("call", "hog")]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    until(lambda: ray.available_resources().get("CPU") == 1)
    assert set(threading.enumerate()) <= threads


def test_the_next_call_gets_a_process_that_lives(cluster: None, tmp_path: Path) -> None:
    for turn in range(5):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with pytest.raises(KeyboardInterrupt):
            give_up(hang, folder, after="call")
        with own_process(double, turn) as number:
            assert ray.get(number) == turn * 2
