from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import train

from cluster.ray.start import unheard
from synthseg.errors import DiskFull, RunFailure
from training.loop import beat, save_state
from training.trainer import train_workers


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)]), "OMP_NUM_THREADS": "1"}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


def leave_rank(settings: dict[str, Any]) -> None:
    context = train.get_context()
    (Path(settings["out_dir"]) / f"rank-{context.get_world_rank()}").write_text(str(context.get_world_size()), encoding="utf-8")


def fail(settings: dict[str, Any]) -> None:
    raise ValueError(settings["reason"])


def fill_the_disk(settings: dict[str, Any]) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    os.fsync = full
    save_state(Path(settings["path"]), {"iteration": 1})


def die(settings: dict[str, Any]) -> None:
    beat(Path(settings["out_dir"]), 0)
    os.kill(os.getpid(), signal.SIGKILL)


def hang_here(settings: dict[str, Any]) -> None:
    beat(Path(settings["out_dir"]), 0)
    time.sleep(600)


def train_toy(
    worker: Callable[[dict[str, Any]], None], settings: dict[str, Any], out_dir: Path, num_workers: int, stall_timeout_s: float = 120
) -> None:
    train_workers("toy", worker, settings, out_dir, num_workers, stall_timeout_s=stall_timeout_s, stacks=out_dir.parent / "stacks")


def test_every_worker_works_and_nothing_of_ray_stays(cluster: None, tmp_path: Path) -> None:
    train_toy(leave_rank, {"out_dir": str(tmp_path)}, tmp_path, 2)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"rank-0": "2", "rank-1": "2"}


def test_a_failed_worker_is_named_with_its_reason(cluster: None, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"^toy training failed: .*no such luck") as raised:
        train_toy(fail, {"reason": "no such luck"}, tmp_path, 1)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_worker_is_one_line_with_the_way_out(cluster: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # What a run's session drops: Ray's thread prints eight lines to standard output for each worker that dies.
    with unheard(), pytest.raises(RunFailure, match=r"^toy training failed: a worker is gone \(.*\); the same command resumes$"):
        train_toy(die, {"out_dir": str(tmp_path)}, tmp_path, 2)
    assert capfd.readouterr() == ("", "")


def test_a_clock_that_is_set_anew_is_no_stall(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e12)
    train_toy(leave_rank, {"out_dir": str(tmp_path)}, tmp_path, 1, stall_timeout_s=30)


def test_what_fails_before_the_workers_is_said_in_one_line(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "ray").write_text("a file where Ray's folder goes", encoding="utf-8")
    with pytest.raises(RunFailure, match=r"^toy training failed: \w*Error: .*") as raised:
        train_toy(leave_rank, {"out_dir": str(tmp_path)}, tmp_path, 1)
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_said_in_one_line(cluster: None, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(DiskFull, match=rf"^out: no space left to write '{path}'; free some and run the same command again$"):
        train_toy(fill_the_disk, {"path": str(path)}, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_hangs_ends_with_its_stacks(cluster: None, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(RunFailure, match=r"^stalled: toy training made no step for 3 s; the stacks are in "):
        train_toy(hang_here, {"out_dir": str(tmp_path)}, tmp_path, 1, stall_timeout_s=3)
    assert "hang_here" in (tmp_path / "stacks.txt").read_text(encoding="utf-8")
    # A thread that is still inside Ray when it shuts down would take the process with it.
    assert set(threading.enumerate()) <= threads


def test_a_cluster_without_room_ends_the_training(cluster: None, tmp_path: Path) -> None:
    # Ray Train's own cleaner asks the dashboard, so here the room of trainings that were killed stays taken.
    free = ray.available_resources().get("CPU", 0.0)
    hog = ray.remote(num_cpus=min(1.0, free))(Hog).remote()
    ray.get(hog.hold.remote())
    with pytest.raises(RunFailure, match=r"^stalled: the cluster had no room for 4 toy workers of 0.5 CPU for 3 s; free some"):
        train_toy(leave_rank, {"out_dir": str(tmp_path)}, tmp_path, 4, stall_timeout_s=3)
    ray.kill(hog)


class Hog:
    """Holds what it asked for."""

    def hold(self) -> None:
        pass
