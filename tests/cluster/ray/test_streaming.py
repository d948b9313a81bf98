"""One stage on a real Ray cluster: blocks stay whole, failures keep their words, dead workers are replaced, a hang ends."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from cluster.ray import streaming
from cluster.ray.streaming import StageWorker, run_stage
from pipelines.session import ray_session
from pipelines.stages.evaluate import EvaluationWorker
from synthseg.config import load_config
from synthseg.datasets.base import open_dataset
from synthseg.errors import CorruptData, DiskFull, RunFailure, UsageProblem
from synthseg.machine.heartbeat import Watch, signs
from synthseg.machine.stacks import beat, clear, register
from synthseg.records import sample_schema
from synthseg.store.run_folder import RunFolder
from tests.rows import samples

pytestmark = pytest.mark.timeout(240)


class Worker:
    """Does what the first row of its shard says."""

    def __init__(self, marks: str, stacks: Path) -> None:
        register(stacks)
        self._marks = Path(marks)

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        what, name = shard.column("what")[0].as_py(), shard.column("name")[0].as_py()
        if what == "fail":
            raise RunFailure("disk: it is full; free some space")
        if what == "hang":
            hang_here()
        if what == "die once" and not (self._marks / name).exists():
            (self._marks / name).touch()
            os._exit(1)
        if what == "bug":
            raise KeyError("no such thing")
        if what == "no room":
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/scratch")
        if what == "publish":
            self._publish(name)
        return {"name": name, "num_rows": shard.num_rows}

    def _publish(self, name: str) -> None:
        """Publishes a shard of one row; the disk is full from the write on whose number stands in the file `no room for NAME`."""
        limit = self._marks / f"no room for {name}"
        last_write = int(limit.read_text(encoding="utf-8")) - 1 if limit.exists() else 2
        writes = iter(range(last_write))

        def fsync(_: int) -> None:
            if next(writes, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            RunFolder(str(self._marks)).shards.publish("images", name, samples([key(name)], "key"))


def key(name: str) -> dict[str, Any]:
    return {"sample_id": name, "class_ids": [1], "ordinal": 0, "seed": 7}


def hang_here() -> None:
    time.sleep(600)


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with ray_session(load_config("embedded"), verbose=False):
        yield


def shards(*what: str, rows: int = 5) -> list[pa.Table]:
    return [pa.table({"what": [w] * rows, "name": [f"shard-{i}"] * rows}) for i, w in enumerate(what)]


def run(
    tables: list[pa.Table],
    tmp_path: Path,
    stall_timeout_s: float = 120,
    worker: Callable[..., StageWorker] = Worker,
    arguments: dict[str, Any] | None = None,
    num_workers: int = 2,
    calls_per_worker: int = 1,
) -> list[dict[str, Any]]:
    stacks = tmp_path / "stacks"
    found = run_stage(
        worker,
        arguments or {"marks": str(tmp_path), "stacks": stacks},
        tables,
        num_workers=num_workers,
        num_gpus=0,
        stall_timeout_s=stall_timeout_s,
        folder=RunFolder(str(tmp_path)),
        stacks=stacks,
        calls_per_worker=calls_per_worker,
    )
    return list(found)


def test_every_shard_comes_back_once_and_whole(session: None, tmp_path: Path) -> None:
    found = run(shards(*["fine"] * 7), tmp_path)
    assert sorted(row["name"] for row in found) == [f"shard-{i}" for i in range(7)]
    assert {row["num_rows"] for row in found} == {5}


def test_no_shards_is_no_work(session: None, tmp_path: Path) -> None:
    assert run([], tmp_path) == []


def test_a_failure_arrives_in_its_own_words(session: None, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"^disk: it is full; free some space$"):
        run(shards("fine", "fail"), tmp_path)


class Together:
    """A worker whose shards end only when two of them are in its hands at once, each by a thread of its own."""

    def __init__(self, stacks: Path) -> None:
        register(stacks)
        self._both = threading.Barrier(2)

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """The number of the thread it had."""
        self._both.wait(60)
        return {"thread": threading.get_ident()}


def test_a_worker_that_waits_for_others_has_several_shards_at_once(session: None, tmp_path: Path) -> None:
    found = run(shards(*["fine"] * 2), tmp_path, worker=Together, arguments={"stacks": tmp_path}, num_workers=1, calls_per_worker=2)
    assert len({row["thread"] for row in found}) == 2


@pytest.fixture
def wait_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[int], object]], dict[str, Any] | None]:
    """Wait for a shard that takes three times the patience; what is given is told, at each look of the driver, which look it is."""
    monkeypatch.setattr(streaming.ray, "get", lambda ref: {"summary": ref})

    def answer(each: Callable[[int], object]) -> dict[str, Any] | None:
        looks = iter(range(60))

        def wait(refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
            time.sleep(0.01)
            look = next(looks, None)
            if look is not None:
                each(look)
            return (refs, []) if look is None else ([], refs)

        monkeypatch.setattr(streaming.ray, "wait", wait)
        return streaming._next(iter(["shard"]), 0.2, tmp_path / "stacks")

    return answer


def test_a_long_shard_whose_worker_gets_on_is_no_stall(wait_while: Any, tmp_path: Path) -> None:
    stacks = tmp_path / "stacks"
    register(stacks)
    assert not Watch(stacks).heard
    with pytest.raises(TimeoutError):
        wait_while(lambda _: None)
    assert wait_while(lambda _: beat(stacks)) == {"summary": "shard"}
    assert Watch(stacks).heard
    with pytest.raises(TimeoutError):
        wait_while(lambda _: None)  # an earlier sign is no life
    clear(stacks)
    assert not Watch(stacks).heard


def test_a_clock_that_is_set_anew_is_neither_silence_nor_life(wait_while: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = tmp_path / "stacks"
    register(stacks)
    beat(stacks)
    (sign,) = signs(stacks)
    assert wait_while(lambda look: os.utime(sign, (look, look))) == {"summary": "shard"}
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert wait_while(lambda _: beat(stacks)) == {"summary": "shard"}
    os.utime(sign, (2e12, 2e12))
    with pytest.raises(TimeoutError):
        wait_while(lambda _: None)


class Reader(EvaluationWorker):
    """The evaluation's worker without its models: a sample that cannot be read comes before them."""

    def __init__(self, dataset: str, stacks: Path) -> None:
        register(stacks)
        self._dataset = open_dataset(dataset, load_config("embedded"))


def test_a_bad_sample_in_the_middle_of_a_split_is_named_by_the_driver(session: None, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"{name}.jpg")
        Image.new("L", (6, 4), 150 if name == "b" else 1).save(tmp_path / "masks" / f"{name}.png")
    arguments = {"dataset": f"folder:{tmp_path}", "stacks": tmp_path / "stacks"}
    with pytest.raises(CorruptData) as caught:
        run([pa.table({"index": [0, 1, 2]})], tmp_path, worker=Reader, arguments=arguments)
    assert str(caught.value).startswith(f"{tmp_path}/masks/b.png: holds 150, which voc has no class for")
    assert "\n" not in str(caught.value)
    (tmp_path / "masks" / "c.png").unlink()
    with pytest.raises(UsageProblem, match=rf"{tmp_path}/masks/c\.png is missing"):
        run([pa.table({"index": [0, 1, 2]})], tmp_path, worker=Reader, arguments=arguments)


def test_a_bug_is_named_and_its_traceback_kept(session: None, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"KeyError: 'no such thing' \(the traceback is in "):
        run(shards("bug"), tmp_path)
    assert "test_streaming.py" in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


def test_no_room_in_a_worker_is_said_in_one_line(session: None, tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"^out: no space left to write '/tmp/scratch'; free some and run the same command again$"):
        run(shards("no room"), tmp_path)


@pytest.mark.parametrize("full_from_write", [1, 2], ids=["data", "marker"])
def test_a_disk_full_in_the_middle_loses_nothing(session: None, tmp_path: Path, full_from_write: int) -> None:
    store = RunFolder(str(tmp_path)).shards
    limit = tmp_path / "no room for shard-1"
    limit.write_text(str(full_from_write), encoding="utf-8")
    run(shards("publish"), tmp_path)
    with pytest.raises(DiskFull, match=r"^out: no space left to write '.*/images/shard-1.*'; free some and run the same command again$"):
        run(shards("publish", "publish")[1:], tmp_path)
    assert list(store.markers("images")) == ["shard-0"]
    limit.unlink()
    assert store.discard_unpublished("images") == full_from_write - 1
    run(shards("publish", "publish", "publish")[1:], tmp_path)
    assert store.read_all("images", sample_schema("key")).to_pylist() == [key(f"shard-{i}") for i in range(3)]


def test_a_dead_worker_is_replaced_and_loses_no_shard(session: None, tmp_path: Path) -> None:
    found = run(shards("fine", "die once", "fine"), tmp_path)
    assert sorted(row["name"] for row in found) == ["shard-0", "shard-1", "shard-2"]


def test_a_hang_ends_with_the_stacks_of_the_worker(session: None, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    # Long enough for the worker to start on a busy machine: one that is not up yet has no stack to show.
    with pytest.raises(RunFailure, match="stalled: no shard finished for 25 s"):
        run(shards("hang"), tmp_path, stall_timeout_s=25)
    assert "hang_here" in (tmp_path / "stacks.txt").read_text(encoding="utf-8")
    # A thread that is still inside Ray when it shuts down would take the process with it.
    assert set(threading.enumerate()) <= threads
