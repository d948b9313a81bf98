from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from serving.http.contracts import Conflict, Job, Overloaded
from serving.jobs import results
from serving.jobs.registry import Record
from serving.jobs.runner import Found
from serving.jobs.service import LOST_AFTER_S, MAX_STARTS, WEIGH_EVERY_S, RayJobService
from synthseg.config import load_config
from synthseg.errors import RunFailure, UsageProblem
from synthseg.store.run_folder import RunFolder
from tests.serving.jobs.fakes import FakeRunner

SPEC: dict[str, Any] = {"classes": ["car"], "settings": ["prompts.engine=template"]}


class Bench:
    """A service over a fake runner, with a clock that the test moves."""

    def __init__(self, tmp_path: Path, *settings: str) -> None:
        self.runner = FakeRunner()
        self.now = 1000.0
        self.config = load_config("embedded", ["prompts.engine=template", f"serving.state_dir={tmp_path / 'state'}", *settings])
        self.service = self.again()

    def again(self) -> RayJobService:
        """The service of a server that was started anew."""
        self.service = RayJobService(self.config, self.runner, poll_s=0.01, clock=lambda: self.now)
        return self.service

    async def until(self, condition: Callable[[Job], bool], job: Job, tenant: str = "ann") -> Job:
        """The job as soon as it is so."""
        async with asyncio.timeout(10):
            while not condition(found := await self.service.get(tenant, job.job_id)):
                await asyncio.sleep(0.005)
        return found

    async def running(self, job: Job) -> Job:
        return await self.until(lambda found: found.status == "running" and self.last(found) in self.runner.submitted, job)

    def last(self, job: Job) -> str:
        """Name of the latest start."""
        return max((name for name in self.runner.submitted if name.startswith(job.job_id)), default="none")


def on(bench: Bench, scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await scenario()
        finally:
            await bench.service.close()

    asyncio.run(whole())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_runs_to_its_end(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.service.submit("ann", SPEC)
        assert job.status == "queued"
        await bench.running(job)
        (submission,) = bench.runner.submitted
        assert bench.runner.configs[submission].classes == ("car",)
        assert bench.runner.own_cluster == [True]
        bench.runner.known[submission] = Found("succeeded", "", 1234.0)
        done = await bench.until(lambda found: found.status == "succeeded", job)
        assert done.finished_at == 1234.0
        assert done.spec == SPEC
        assert not list(Path(bench.config.serving.state_dir).rglob("*.toml"))

    on(bench, scenario)


def test_a_refused_spec_leaves_nothing_behind(bench: Bench) -> None:
    async def scenario() -> None:
        for spec in ({"classes": ["unicorn"]}, {"settings": ["execution.workers=9"]}, {"settings": ["prompts.engine=vllm"]}):
            with pytest.raises(UsageProblem):
                await bench.service.submit("ann", spec)
        assert await bench.service.jobs("ann", 9) == []
        assert not list(Path(bench.config.serving.state_dir).rglob("*.toml"))

    on(bench, scenario)


def test_the_same_run_is_not_started_twice_but_is_resumed(bench: Bench) -> None:
    async def scenario() -> None:
        first = await bench.service.submit("ann", SPEC)
        with pytest.raises(Conflict, match=first.job_id):
            await bench.service.submit("ann", {**SPEC, "seed": 0})
        await bench.service.submit("bob", SPEC)
        await bench.running(first)
        await bench.service.cancel("ann", first.job_id)
        await bench.until(lambda found: found.status == "cancelled", first)
        again = await bench.service.submit("ann", SPEC)
        assert again.out == first.out
        assert again.job_id != first.job_id
        assert len({job.out for job in await bench.service.jobs("bob", 9)} | {first.out}) == 2

    on(bench, scenario)


def test_a_running_job_is_stopped_and_a_queued_one_never_starts(bench: Bench) -> None:
    async def scenario() -> None:
        running, waiting = [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (1, 2)]
        await bench.running(running)
        configs = Path(bench.config.serving.state_dir) / "jobs"
        assert (await bench.service.cancel("ann", waiting.job_id)).status == "cancelled"
        assert [path.stem for path in configs.glob("*.toml")] == [running.job_id]
        stopping = await bench.service.cancel("ann", running.job_id)
        assert stopping.message == "stopping"
        done = await bench.until(lambda found: found.status == "cancelled", running)
        assert done.message == ""
        assert bench.runner.stopped == [f"{running.job_id}-1"]
        assert bench.runner.submitted == [f"{running.job_id}-1"]
        assert (await bench.service.cancel("ann", running.job_id)).status == "cancelled"

    on(bench, scenario)


def test_a_deleted_job_is_forgotten_once_its_run_has_ended(bench: Bench) -> None:
    async def scenario() -> None:
        running, waiting = [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (1, 2)]
        await bench.running(running)
        watching = bench.service.events("ann", running.job_id)
        RunFolder.create(running.out, bench.runner.configs[bench.last(running)])
        assert (await anext(watching))["event"] == "run_created"
        for job in (waiting, running):
            await bench.service.delete("ann", job.job_id)
            with pytest.raises(KeyError):
                await bench.service.get("ann", job.job_id)
        assert [(event["event"], event["status"]) async for event in watching] == [("job_finished", "cancelled")]
        # The folder is free again only when the run that wrote there is over.
        async with asyncio.timeout(10):
            while True:
                try:
                    again = await bench.service.submit("ann", {**SPEC, "seed": 1})
                except Conflict:
                    await asyncio.sleep(0.005)
                else:
                    break
        assert bench.runner.stopped == [f"{running.job_id}-1"]
        assert bench.last(waiting) == "none"
        assert again.out == running.out

    on(bench, scenario)


def test_a_failure_is_told_without_the_servers_paths(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        bench.runner.known[bench.last(job)] = Found("failed", f"out: '{job.out}' cannot be written")
        done = await bench.until(lambda found: found.status == "failed", job)
        assert done.message == "out: 'OUT' cannot be written"

    on(bench, scenario)


def test_a_place_is_no_place_of_the_server_s_with_its_credentials_hidden_either(tmp_path: Path) -> None:
    root = "s3://key:hunter2@jobs"
    bench = Bench(tmp_path, f"serving.jobs_dir={root}")
    message = str(RunFailure(f"out: '{root}/ann/7' cannot be written, and {root} neither"))
    record = Record("job_1", "ann", SPEC, f"{root}/ann/7", "failed", 0.0, message=message)
    assert bench.service._job(record).message == "out: 'OUT' cannot be written, and JOBS neither"


def test_a_worker_s_traceback_is_for_the_server_s_owner(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        folder = RunFolder.create(job.out, bench.runner.configs[bench.last(job)])
        folder.event("worker_error", error=f"OSError: {job.out}/x", traceback="File /usr/lib/python3.11/x.py, line 1")
        progress = (await bench.service.get("ann", job.job_id)).progress
        assert progress is not None
        assert progress["last_event"].items() >= {"event": "worker_error", "error": "OSError: OUT/x"}.items()
        bench.runner.known[bench.last(job)] = Found("failed", "x")
        told = [event async for event in bench.service.events("ann", job.job_id)]
        assert "/usr/lib" not in str([progress, told])

    on(bench, scenario)


def test_a_job_that_is_cancelled_while_ray_is_away_leaves_nothing_behind(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.service.submit("ann", SPEC)
        submit = bench.runner.submit

        def refuse(*arguments: Any, **options: Any) -> None:
            with sqlite3.connect(Path(bench.config.serving.state_dir) / "state.sqlite3") as other:
                other.execute("UPDATE jobs SET cancelled = 1")
            bench.runner.away = True
            submit(*arguments, **options)

        bench.runner.submit = refuse  # type: ignore[method-assign]
        await bench.until(lambda found: found.status == "cancelled", job)
        async with asyncio.timeout(10):
            while list(Path(bench.config.serving.state_dir).rglob("*.toml")):
                await asyncio.sleep(0.005)

    on(bench, scenario)


def test_a_runner_that_hangs_holds_one_thread_and_is_asked_again_once_it_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.service.RUNNER_TIMEOUT_S", 0.02)
    calls: list[str] = []
    answer = threading.Event()

    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        find = bench.runner.find

        def hang(submission_id: str) -> Found | None:
            calls.append(submission_id)
            answer.wait(10)
            return find(submission_id)

        bench.runner.find = hang  # type: ignore[method-assign]
        await asyncio.sleep(0.3)
        assert len(calls) == 1
        bench.runner.known[bench.last(job)] = Found("succeeded")
        answer.set()
        await bench.until(lambda found: found.status == "succeeded", job)

    on(bench, scenario)


def test_a_tenant_neither_sees_nor_stops_anothers_job(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.service.submit("ann", SPEC)
        service = bench.service
        for call in (
            service.get("bob", job.job_id),
            service.cancel("bob", job.job_id),
            service.delete("bob", job.job_id),
            anext(service.events("bob", job.job_id)),
            service.gallery("bob", job.job_id, offset=0, limit=1),
            service.image("bob", job.job_id, "0" * 24),
            service.report("bob", job.job_id),
        ):
            with pytest.raises(KeyError):
                await call
        assert await service.jobs("bob", 9) == []
        assert (await service.get("ann", job.job_id)).status in ("queued", "running")

    on(bench, scenario)


def test_jobs_wait_for_their_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_queued_jobs=2")

    async def scenario() -> None:
        first = await bench.service.submit("ann", SPEC)
        await bench.running(first)
        second, third = [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (2, 3)]
        with pytest.raises(Overloaded):
            await bench.service.submit("ann", {**SPEC, "seed": 4})
        bench.runner.known[bench.last(first)] = Found("succeeded")
        await bench.running(second)
        assert (await bench.service.get("ann", third.job_id)).status == "queued"
        await bench.service.submit("ann", {**SPEC, "seed": 4})

    on(bench, scenario)


def test_jobs_wait_for_ray(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_queued_jobs=2")

    async def scenario() -> None:
        bench.runner.away = True
        first, second = [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (1, 2)]
        with pytest.raises(Overloaded):
            # The watch keeps taking one out of the queue and putting it back, so there may be room for one more.
            [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (3, 4)]
        waiting = await bench.until(lambda found: found.status == "queued" and "No available agent" in found.message, first)
        assert "waiting for Ray" in waiting.message
        bench.runner.away = False
        await bench.running(first)
        assert bench.last(first).endswith("-1")
        assert (await bench.service.get("ann", second.job_id)).status == "queued"
        bench.runner.known[bench.last(first)] = Found("succeeded")
        await bench.running(second)

    on(bench, scenario)


def test_a_job_that_went_away_with_its_cluster_is_taken_up(bench: Bench) -> None:
    async def before() -> None:
        await bench.running(await bench.service.submit("ann", SPEC))

    async def after() -> None:
        (job,) = await bench.service.jobs("ann", 9)
        # Another gateway may be watching over it: nobody takes it up at once.
        await asyncio.sleep(0.1)
        assert (await bench.service.get("ann", job.job_id)).status == "running"
        assert bench.runner.submitted == []
        bench.now += LOST_AFTER_S + 1
        await bench.until(lambda _: bench.runner.submitted == [f"{job.job_id}-2"], job)

    on(bench, before)
    bench.runner = FakeRunner()
    bench.again()
    on(bench, after)


def test_a_run_that_is_lost_again_and_again_is_given_up(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.service.submit("ann", SPEC)
        for start in range(1, MAX_STARTS + 1):
            await bench.until(lambda _, start=start: f"{job.job_id}-{start}" in bench.runner.submitted, job)  # type: ignore[misc]
            bench.runner.known[f"{job.job_id}-{start}"] = Found("lost")
        done = await bench.until(lambda found: found.status == "failed", job)
        assert f"lost {MAX_STARTS} times" in done.message
        assert len(bench.runner.submitted) == MAX_STARTS

    on(bench, scenario)


def test_a_start_that_was_given_up_meanwhile_is_stopped(bench: Bench) -> None:
    async def scenario() -> None:
        submit = bench.runner.submit

        def slow(submission_id: str, *arguments: Any, **options: Any) -> None:
            submit(submission_id, *arguments, **options)
            if submission_id.endswith("-1"):
                # Another gateway, which does not see this start in Ray, takes the job up while it is being submitted.
                with sqlite3.connect(Path(bench.config.serving.state_dir) / "state.sqlite3") as other:
                    other.execute("UPDATE jobs SET attempt = 2")
                bench.runner.known[submission_id.replace("-1", "-2")] = Found("going")

        bench.runner.submit = slow  # type: ignore[method-assign]
        job = await bench.service.submit("ann", SPEC)
        await bench.until(lambda _: bench.runner.stopped == [f"{job.job_id}-1"], job)
        assert (await bench.service.get("ann", job.job_id)).status == "running"

    on(bench, scenario)


def test_one_bad_job_does_not_stop_the_watch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_running_jobs=2")

    async def scenario() -> None:
        bad, good = [await bench.running(await bench.service.submit("ann", {**SPEC, "seed": seed})) for seed in (1, 2)]
        find = bench.runner.find

        def broken(submission_id: str) -> Found | None:
            if submission_id.startswith(bad.job_id):
                raise ZeroDivisionError
            return find(submission_id)

        bench.runner.find = broken  # type: ignore[method-assign]
        bench.runner.known[bench.last(good)] = Found("succeeded")
        await bench.until(lambda found: found.status == "succeeded", good)
        assert (await bench.service.get("ann", bad.job_id)).status == "running"

    on(bench, scenario)


def test_events_are_followed_to_the_end(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        events = bench.service.events("ann", job.job_id)
        folder = RunFolder.create(job.out, bench.runner.configs[bench.last(job)])
        assert (await anext(events))["event"] == "run_created"
        folder.event("stage_started", stage="images", total=4, where=f"{job.out}/images")
        assert (await anext(events)).items() >= {"event": "stage_started", "total": 4, "where": "OUT/images"}.items()
        # Written just before the end: the stream must not end without it.
        folder.event("run_finished", ok=4)
        bench.runner.known[bench.last(job)] = Found("succeeded", "", 77.0)
        rest = [event async for event in events]
        assert [event["event"] for event in rest] == ["run_finished", "job_finished"]
        assert rest[-1] == {"event": "job_finished", "time": 77.0, "status": "succeeded", "message": ""}
        replayed = [event["event"] async for event in bench.service.events("ann", job.job_id)]
        assert replayed == ["run_created", "stage_started", "run_finished", "job_finished"]

    on(bench, scenario)


def test_two_gateways_share_the_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def scenario() -> None:
        other = RayJobService(bench.config, bench.runner, poll_s=0.01, clock=lambda: bench.now)
        jobs = [await service.submit("ann", {**SPEC, "seed": seed}) for seed, service in enumerate((bench.service, other, other))]
        for job in sorted(jobs, key=lambda job: job.created_at):
            await bench.running(job)
            bench.runner.known[bench.last(job)] = Found("succeeded")
        for job in jobs:
            await bench.until(lambda found: found.status == "succeeded", job)
        assert sorted(bench.runner.submitted) == sorted(f"{job.job_id}-1" for job in jobs)
        await other.close()

    on(bench, scenario)


def test_a_run_that_takes_too_long_is_stopped_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_job_s=100")

    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        (Path(job.out)).mkdir(parents=True)
        bench.now += 99
        await asyncio.sleep(0.1)
        assert bench.runner.stopped == []
        bench.now += 2
        ended = await bench.until(lambda found: found.status == "failed", job)
        assert ended.reason == "wall_time_exceeded"
        assert "longer than 100 s" in ended.message
        assert bench.runner.stopped[0] == bench.last(job)
        assert Path(job.out).is_dir()  # what it made stays
        last = [event async for event in bench.service.events("ann", job.job_id)][-1]
        assert (last["event"], last["status"], last["reason"]) == ("job_finished", "failed", "wall_time_exceeded")

    on(bench, scenario)


def test_the_time_of_earlier_starts_counts_and_that_between_them_does_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_job_s=100")

    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        bench.now += 60
        await asyncio.sleep(0.1)
        bench.runner.known[bench.last(job)] = Found("lost")
        await bench.until(lambda _: len(bench.runner.submitted) == 2, job)
        bench.now += 30
        await asyncio.sleep(0.1)
        assert (await bench.service.get("ann", job.job_id)).status == "running"
        bench.now += 20
        ended = await bench.until(lambda found: found.status == "failed", job)
        assert ended.reason == "wall_time_exceeded"

    on(bench, scenario)


def test_a_run_whose_folder_grows_too_large_is_stopped_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_job_bytes=1000")

    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        deep = Path(job.out) / "images" / "deep"
        deep.mkdir(parents=True)
        (deep / "a").write_bytes(b"x" * 900)
        bench.now += WEIGH_EVERY_S
        await asyncio.sleep(0.1)
        assert bench.runner.stopped == []
        (deep / "b").write_bytes(b"x" * 101)
        bench.now += WEIGH_EVERY_S
        ended = await bench.until(lambda found: found.status == "failed", job)
        assert ended.reason == "disk_exceeded"
        assert "1000 bytes" in ended.message
        assert (deep / "a").is_file()

    on(bench, scenario)


def test_a_run_that_ends_before_it_can_be_stopped_has_done_what_it_was_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "serving.max_job_s=100")

    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        bench.runner.stop = lambda submission_id: bench.runner.known.update({submission_id: Found("succeeded")})  # type: ignore[method-assign]
        bench.now += 101
        ended = await bench.until(lambda found: found.status != "running", job)
        assert (ended.status, ended.reason) == ("succeeded", None)

    on(bench, scenario)


def test_purging_removes_the_folder_and_leaving_it_out_does_not(bench: Bench) -> None:
    async def scenario() -> None:
        jobs = [await bench.service.submit("ann", {**SPEC, "seed": seed}) for seed in (1, 2)]
        for job in jobs:
            await bench.running(job)
            Path(job.out).mkdir(parents=True)
            (Path(job.out) / "run.json").write_text("{}", encoding="utf-8")
            bench.runner.known[bench.last(job)] = Found("succeeded")
            await bench.until(lambda found: found.status == "succeeded", job)
        kept, purged = jobs
        await bench.service.delete("ann", kept.job_id)
        with pytest.raises(KeyError):
            await bench.service.delete("bob", purged.job_id, purge=True)
        await bench.service.delete("ann", purged.job_id, purge=True)
        assert (Path(kept.out).is_dir(), Path(purged.out).exists()) == (True, False)
        assert await bench.service.jobs("ann", 9) == []
        await bench.service.submit("ann", {**SPEC, "seed": 2})  # the place is free again

    on(bench, scenario)


def test_a_running_job_is_stopped_before_its_folder_goes(bench: Bench) -> None:
    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        Path(job.out).mkdir(parents=True)
        bench.runner.away = True
        await bench.service.delete("ann", job.job_id, purge=True)
        assert Path(job.out).is_dir()
        with pytest.raises(Conflict, match="still being stopped"):
            await bench.service.submit("ann", SPEC)
        bench.runner.away = False
        async with asyncio.timeout(10):
            while Path(job.out).exists():
                await asyncio.sleep(0.01)
        assert bench.runner.stopped

    on(bench, scenario)


def test_a_folder_in_which_another_job_is_going_is_not_purged(bench: Bench) -> None:
    async def scenario() -> None:
        first = await bench.running(await bench.service.submit("ann", SPEC))
        bench.runner.known[bench.last(first)] = Found("failed", "lost power")
        await bench.until(lambda found: found.status == "failed", first)
        second = await bench.running(await bench.service.submit("ann", SPEC))
        Path(second.out).mkdir(parents=True)
        with pytest.raises(Conflict, match=second.job_id):
            await bench.service.delete("ann", first.job_id, purge=True)
        assert Path(second.out).is_dir()
        assert (await bench.service.get("ann", first.job_id)).status == "failed"

    on(bench, scenario)


def test_a_purge_that_a_dead_server_left_is_finished_by_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        job = await bench.running(await bench.service.submit("ann", SPEC))
        Path(job.out).mkdir(parents=True)
        bench.runner.known[bench.last(job)] = Found("succeeded")
        await bench.until(lambda found: found.status == "succeeded", job)

        def dies(_: str) -> None:
            raise OSError("the server is gone")

        with monkeypatch.context() as patch:
            patch.setattr(results, "remove", dies)
            with pytest.raises(OSError, match="gone"):
                await bench.service.delete("ann", job.job_id, purge=True)
        await bench.service.close()
        bench.again().start()
        async with asyncio.timeout(10):
            while Path(job.out).exists():
                await asyncio.sleep(0.01)

    on(bench, scenario)
