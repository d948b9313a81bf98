from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from serving.http.contracts import Conflict, Overloaded
from serving.jobs.registry import Record, Registry
from serving.state.database import Database


def record(number: int, tenant: str = "ann", out: str = "") -> Record:
    return Record(f"job_{number}", tenant, {"seed": number}, out or f"/runs/{number}", "queued", created_at=float(number))


def with_registry(tmp_path: Path, scenario: Callable[[Registry], Awaitable[None]]) -> None:
    database = Database(tmp_path)
    now = iter(range(1000, 2000))
    asyncio.run(scenario(Registry(database, clock=lambda: float(next(now)))))  # type: ignore[arg-type]
    database.close()


def test_one_tenant_sees_nothing_of_another(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 9)
        await registry.add(record(2), 9)
        assert await registry.get("ann", "job_1") == record(1)
        assert await registry.of_tenant("ann", 9) == [record(2), record(1)]
        assert await registry.of_tenant("ann", 1) == [record(2)]
        assert await registry.of_tenant("bob", 9) == []
        for tenant, job_id in (("bob", "job_1"), ("ann", "job_3")):
            with pytest.raises(KeyError):
                await registry.get(tenant, job_id)

    with_registry(tmp_path, scenario)


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1, out="/same"), 9)
        with pytest.raises(Conflict, match="job_1"):
            await registry.add(record(2, out="/same"), 9)
        running = await registry.claim(1)
        assert running is not None
        with pytest.raises(Conflict, match="job_1"):
            await registry.add(record(2, out="/same"), 9)
        await registry.finish(running, "failed", "disk full")
        await registry.add(record(2, out="/same"), 9)

    with_registry(tmp_path, scenario)


def test_a_tenant_may_wait_with_so_many_jobs(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 2)
        await registry.add(record(2), 2)
        with pytest.raises(Overloaded) as refused:
            await registry.add(record(3), 2)
        assert refused.value.queued == 2
        await registry.add(record(4, "bob"), 2)

    with_registry(tmp_path, scenario)


def test_tenants_take_turns_and_only_so_many_run(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        for number in (1, 2, 3):
            await registry.add(record(number, "ann"), 9)
        await registry.add(record(4, "bob"), 9)
        order = []
        while claimed := await registry.claim(1):
            order.append(claimed.job_id)
            assert await registry.claim(1) is None
            await registry.finish(claimed, "succeeded")
        assert order == ["job_1", "job_4", "job_2", "job_3"]

    with_registry(tmp_path, scenario)


def test_deleting_a_job_gives_no_turn_back(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1, "ann"), 9)
        await registry.add(record(2, "ann"), 9)
        await registry.add(record(3, "bob"), 9)
        first = await registry.claim(1)
        assert first is not None
        await registry.finish(first, "succeeded")
        assert await registry.delete(first)
        second = await registry.claim(1)
        assert second is not None
        assert (first.job_id, second.job_id) == ("job_1", "job_3")

    with_registry(tmp_path, scenario)


def test_a_folder_whose_deleted_job_still_stops_is_not_named_by_it(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1, out="/same"), 9)
        running = await registry.claim(1)
        assert running is not None
        assert not await registry.delete(running)
        with pytest.raises(Conflict, match="still being stopped") as refused:
            await registry.add(record(2, out="/same"), 9)
        assert "job_1" not in str(refused.value)

    with_registry(tmp_path, scenario)


def test_a_start_that_is_over_changes_nothing_any_more(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 9)
        first = await registry.claim(1)
        assert first is not None
        await registry.requeue(first, "lost", counted=True)
        second = await registry.claim(1)
        assert second is not None
        assert (first.submission_id, second.submission_id) == ("job_1-1", "job_1-2")
        await registry.finish(first, "failed", "late news of the first start")
        assert (await registry.get("ann", "job_1")).status == "running"
        assert not await registry.seen(first)
        assert await registry.seen(second)
        await registry.finish(second, "succeeded", ended_at=7.0)
        done = await registry.get("ann", "job_1")
        assert (done.status, done.finished_at, done.message) == ("succeeded", 7.0, "")

    with_registry(tmp_path, scenario)


def test_a_start_that_never_was_is_not_counted(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 9)
        claimed = await registry.claim(1)
        assert claimed is not None
        assert await registry.requeue(claimed, "waiting for Ray", counted=False)
        waiting = await registry.get("ann", "job_1")
        assert (waiting.status, waiting.attempt, waiting.message) == ("queued", 0, "waiting for Ray")

    with_registry(tmp_path, scenario)


def test_cancelling_ends_a_queued_job_and_marks_a_running_one(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 9)
        await registry.add(record(2), 9)
        running = await registry.claim(1)
        assert running is not None
        for job in (record(1), record(2)):
            assert await registry.cancel(job) == (job.job_id == "job_2")
        first, second = await registry.get("ann", "job_1"), await registry.get("ann", "job_2")
        assert (first.status, first.cancelled, first.finished_at) == ("running", True, None)
        assert second.status == "cancelled"
        assert second.finished_at is not None

    with_registry(tmp_path, scenario)


def test_a_job_that_is_cancelled_while_it_starts_never_starts_again(tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        await registry.add(record(1), 9)
        starting = await registry.claim(1)
        assert starting is not None
        await registry.cancel(starting)
        assert not await registry.requeue(starting, "waiting for Ray", counted=False)
        ended = await registry.get("ann", "job_1")
        assert (ended.status, ended.message) == ("cancelled", "")
        assert await registry.claim(1) is None

    with_registry(tmp_path, scenario)


def test_jobs_outlive_the_process(tmp_path: Path) -> None:
    async def before(registry: Registry) -> None:
        await registry.add(record(1), 9)
        await registry.claim(1)

    async def after(registry: Registry) -> None:
        (found,) = await registry.unfinished()
        assert (found.job_id, found.status, found.spec, found.attempt) == ("job_1", "running", {"seed": 1}, 1)

    with_registry(tmp_path, before)
    with_registry(tmp_path, after)


def test_the_table_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "state.sqlite3")
    old.execute(
        "CREATE TABLE jobs (job_id TEXT PRIMARY KEY, tenant TEXT, spec TEXT, out TEXT, status TEXT, created_at REAL, finished_at REAL, "
        "message TEXT, attempt INTEGER, cancelled INTEGER, deleted INTEGER, seen_at REAL)"
    )
    old.execute("INSERT INTO jobs VALUES ('job_1', 'ann', '{\"seed\": 1}', '/runs/1', 'queued', 1.0, NULL, '', 0, 0, 0, 0.0)")
    old.commit()
    old.close()

    async def scenario(registry: Registry) -> None:
        assert await registry.get("ann", "job_1") == record(1)
        claimed = await registry.claim(1)
        assert claimed is not None
        assert claimed.started_at >= 1000

    with_registry(tmp_path, scenario)
