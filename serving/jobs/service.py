"""The `JobService` over Ray's job API.

The database, not Ray, is the truth about jobs: it survives the cluster, and each row names the folder of its run. Ray only
carries the run out. A job whose run went away with a cluster is queued again, and the run takes up where it stopped.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from serving.http.contracts import FINISHED, Job, JobReason, JobStatus
from serving.jobs import results
from serving.jobs.limits import limits
from serving.jobs.registry import Record, Registry
from serving.jobs.runner import Found, RayRunner, Runner, RunnerUnavailable
from serving.jobs.spec import run_config
from serving.state.database import Database
from synthseg.config.loading import to_toml
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.machine.availability import missing_requirements
from synthseg.redaction import redacted

Result = TypeVar("Result")

POLL_S: Final = 1.0
LOST_AFTER_S: Final = 30.0
"""A start that Ray does not know is given up after this long; until then another cluster's gateway may be watching it."""
RUNNER_TIMEOUT_S: Final = 60.0
WEIGH_EVERY_S: Final = 15.0
"""How often a running job's folder is measured: a large one has many files."""
MAX_STARTS: Final = 4
"""A run that takes its watcher down this often is at fault itself."""

_LOG = logging.getLogger("synthseg.serving")


class RayJobService:
    """Runs of the pipeline for HTTP clients. Use it from one event loop; any number of gateways may share its database."""

    def __init__(
        self, config: RunConfig, runner: Runner | None = None, *, poll_s: float = POLL_S, clock: Callable[[], float] = time.time
    ) -> None:
        """`config` is what is being served; jobs start from it. Nothing is contacted before the first call."""
        serving = config.serving
        self._config = config
        self._runner = runner or RayRunner()
        self._poll_s = poll_s
        self._clock = clock
        state = Path(serving.state_dir).expanduser().resolve()
        limits(serving)  # UsageProblem for a bound on nothing
        self._joins = bool(run_config(config, {}).execution.address)
        self._folder = state / "jobs"
        self._root = serving.jobs_dir.rstrip("/") or str(self._folder)
        if "://" not in self._root:
            self._root = str(Path(self._root).expanduser().resolve())
        self._database = Database(state, serving.state_journal)
        self._registry = Registry(self._database, clock)
        self._runner_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runner")
        self._runner_call: concurrent.futures.Future[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._weighed_at: dict[str, float] = {}
        """When the folder of each running job was last measured."""
        self._asked = False
        """Somebody has called `start` since the watch last looked for jobs."""

    async def submit(self, tenant: str, spec: dict[str, Any]) -> Job:
        """Queue `synthseg run`; it starts as soon as there is room. UsageProblem, Conflict or Overloaded before anything is kept."""
        config = await asyncio.to_thread(self._checked, spec)
        record = Record(
            job_id=f"job_{secrets.token_hex(12)}",
            tenant=tenant,
            spec=spec,
            out=f"{self._root}/{digest('tenant', tenant)}/{config.fingerprint()}",
            status="queued",
            created_at=self._clock(),
        )
        await asyncio.to_thread(self._write_config, record, config)
        try:
            await self._registry.add(record, self._config.serving.max_queued_jobs)
        except BaseException:
            self._config_file(record).unlink(missing_ok=True)
            raise
        self.start()
        return self._job(record)

    async def get(self, tenant: str, job_id: str) -> Job:
        """The job now, with the progress of its run."""
        record = await self._registry.get(tenant, job_id)
        self.start()
        return self._job(record, self._scrubbed(record, await asyncio.to_thread(results.progress, record.out)))

    async def jobs(self, tenant: str, limit: int) -> list[Job]:
        """The tenant's newest `limit` jobs, newest first, without their progress."""
        self.start()
        return [self._job(record) for record in await self._registry.of_tenant(tenant, limit)]

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Ask the job to end. A running one ends in its own time; a finished one stays as it is."""
        record = await self._registry.get(tenant, job_id)
        if await self._registry.cancel(record):
            self._config_file(record).unlink(missing_ok=True)
        self.start()
        return await self.get(tenant, job_id)

    async def delete(self, tenant: str, job_id: str, *, purge: bool = False) -> None:
        """Cancel the job and forget it. What its run published stays for the same spec; with `purge` its folder goes, at once or, for a
        running job, as soon as the run has ended. Conflict while another job is going in that folder.
        """
        record = await self._registry.get(tenant, job_id)
        if await self._registry.delete(record, purge=purge):
            self._config_file(record).unlink(missing_ok=True)
        if purge:
            await self._purge()
        self.start()

    async def events(self, tenant: str, job_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """The run's events as they are written, those of earlier starts included, then `job_finished` with the job's status."""
        record = await self._registry.get(tenant, job_id)
        self.start()
        tail = results.EventTail(record.out)
        while True:
            # The status is asked first: whatever a finished run has written is then there to be read.
            try:
                record = await self._registry.get(tenant, job_id)
            except KeyError:
                yield {"event": "job_finished", "time": self._clock(), "status": "cancelled", "message": "deleted"}
                return
            for event in await asyncio.to_thread(tail.read):
                yield self._scrubbed(record, event)
            if record.status in FINISHED:
                job = self._job(record)
                ended = {"event": "job_finished", "time": job.finished_at, "status": job.status, "message": job.message}
                yield {**ended, "reason": job.reason} if job.reason else ended
                return
            await asyncio.sleep(self._poll_s)

    async def gallery(self, tenant: str, job_id: str, *, offset: int, limit: int) -> list[dict[str, Any]]:
        """Kept samples of the run."""
        record = await self._registry.get(tenant, job_id)
        return await asyncio.to_thread(results.gallery, record.out, offset, limit)

    async def image(self, tenant: str, job_id: str, sample_id: str) -> bytes:
        """Encoded image of one sample."""
        record = await self._registry.get(tenant, job_id)
        return await asyncio.to_thread(results.image, record.out, sample_id)

    async def report(self, tenant: str, job_id: str) -> bytes:
        """The run's page."""
        record = await self._registry.get(tenant, job_id)
        return await asyncio.to_thread(results.report, record.out)

    def start(self) -> None:
        """Watch over unfinished jobs, those of an earlier server included. Every call does it; a gateway that starts should, too."""
        self._asked = True
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._watch_jobs())

    async def close(self) -> None:
        """Stop watching; runs go on, and the next gateway takes over."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._runner_thread.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._database.close)

    async def _watch_jobs(self) -> None:
        """Start, follow and settle jobs until none is left."""
        while True:
            self._asked = False
            await self._guarded(self._purge())
            unfinished = await self._guarded(self._registry.unfinished())
            if unfinished == [] and not self._asked:
                return
            for record in unfinished or ():
                if record.status == "running":
                    await self._guarded(self._follow(record))
            await self._guarded(self._begin_queued())
            await asyncio.sleep(self._poll_s)

    async def _guarded(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Whatever goes wrong with one job (None then), the others still need somebody who watches over them."""
        try:
            return await work
        except RunnerUnavailable as error:
            _LOG.warning("jobs wait for Ray: %s", error)
        except Exception:  # noqa: BLE001 (logged; the watch goes on)
            _LOG.exception("watching over a job failed")
        return None

    async def _begin_queued(self) -> None:
        while record := await self._registry.claim(self._config.serving.max_running_jobs):
            start = partial(self._runner.submit, own_cluster=not self._joins)
            try:
                await self._ask(start, record.submission_id, self._config_file(record), record.out)
            except RunnerUnavailable as error:
                await self._requeue(record, f"waiting for Ray: {error}", counted=False)
                raise
            if not await self._registry.seen(record):
                # It took so long that another gateway has given this start up: two runs must not write to one folder.
                await self._ask(self._runner.stop, record.submission_id)

    async def _follow(self, record: Record) -> None:
        found = await self._ask(self._runner.find, record.submission_id)
        if found is None and self._clock() - record.seen_at < LOST_AFTER_S:
            return
        if found is None or found.state == "lost":
            await self._take_up(record)
        elif found.state != "going":
            await self._settle(record, found)
        else:
            await self._registry.seen(record)
            if not (record.cancelled or record.over) and (reason := await self._exceeded(record)):
                await self._registry.stop_for(record, reason)
            elif record.cancelled or record.over:
                await self._ask(self._runner.stop, record.submission_id)

    async def _exceeded(self, record: Record) -> JobReason | None:
        """What the run has used up, if anything."""
        serving, now = self._config.serving, self._clock()
        if record.used_s + now - record.started_at > serving.max_job_s:
            return "wall_time_exceeded"
        if now - self._weighed_at.get(record.job_id, 0.0) < WEIGH_EVERY_S:
            return None
        self._weighed_at[record.job_id] = now
        try:
            num_bytes = await asyncio.to_thread(results.num_bytes, record.out)
        except OSError:  # a file went while they were counted; the next look will do
            return None
        return "disk_exceeded" if num_bytes > serving.max_job_bytes else None

    async def _ask(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """The runner's answer. While one call hangs no other is made: it holds this one thread, and none that other work needs."""
        silent = RunnerUnavailable("Ray's job server does not answer in time")
        if self._runner_call is not None and not self._runner_call.done():
            raise silent
        self._runner_call = future = self._runner_thread.submit(call, *arguments)
        try:
            async with asyncio.timeout(RUNNER_TIMEOUT_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise silent from None

    async def _take_up(self, record: Record) -> None:
        """The run went away with its cluster or its watcher."""
        if record.cancelled or record.over:
            await self._finish(record, Found("stopped"))
        elif record.attempt >= MAX_STARTS:
            await self._finish(record, Found("failed", f"the run was lost {record.attempt} times; its folder keeps what it made"))
        else:
            await self._requeue(record, "the server was started anew; the run takes up where it stopped", counted=True)

    async def _requeue(self, record: Record, message: str, *, counted: bool) -> None:
        if not await self._registry.requeue(record, message, counted=counted):
            await self._forget(record)

    async def _settle(self, record: Record, found: Found) -> None:
        if found.state == "stopped" and not (record.cancelled or record.over):
            # Somebody stopped it past this service, with `ray job stop`.
            found = Found("stopped", "stopped on the server", found.ended_at)
        await self._finish(record, found)

    async def _finish(self, record: Record, found: Found) -> None:
        status: JobStatus = "succeeded" if found.state == "succeeded" else "failed"
        if (record.cancelled and status == "failed") or (found.state == "stopped" and not record.over):
            status = "cancelled"
        message = "" if status == "cancelled" and record.cancelled else found.message
        if record.over and status == "failed":
            message = self._limit_named(record.over)
        await self._registry.finish(record, status, message, found.ended_at)
        await self._forget(record)

    async def _forget(self, record: Record) -> None:
        """Nothing will be started for it any more."""
        self._weighed_at.pop(record.job_id, None)
        self._config_file(record).unlink(missing_ok=True)
        await self._registry.sweep()
        await self._purge()

    async def _purge(self) -> None:
        """Remove the folders that are to go with their deleted jobs."""
        for record in await self._registry.to_purge():
            await asyncio.to_thread(results.remove, record.out)
            self._config_file(record).unlink(missing_ok=True)
            await self._registry.forget(record)

    def _limit_named(self, reason: str) -> str:
        serving = self._config.serving
        if reason == "wall_time_exceeded":
            spent = f"the run took longer than {serving.max_job_s:g} s, the most for one run here"
        else:
            spent = f"the run's folder grew larger than {serving.max_job_bytes} bytes, the most for one run here"
        return f"{spent}; its folder keeps what it made"

    def _checked(self, spec: dict[str, Any]) -> RunConfig:
        config = run_config(self._config, spec)
        missing = missing_requirements(config)
        if missing:
            raise UsageProblem(f"preset: {config.preset} cannot run on this server: {'; '.join(missing)}")
        return config

    def _config_file(self, record: Record) -> Path:
        return self._folder / f"{record.job_id}.toml"

    def _write_config(self, record: Record, config: RunConfig) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._config_file(record).write_text(to_toml(config), encoding="utf-8")

    def _job(self, record: Record, progress: dict[str, Any] | None = None) -> Job:
        reason = cast(JobReason, record.over) if record.over and record.status == "failed" else None
        message = self._scrubbed(record, record.message)
        if record.status == "running" and record.cancelled:
            message = "stopping"
        return Job(
            job_id=record.job_id,
            tenant=record.tenant,
            status=record.status,
            created_at=record.created_at,
            finished_at=record.finished_at,
            out=record.out,
            spec=record.spec,
            message=message,
            progress=progress,
            reason=reason,
        )

    def _scrubbed(self, record: Record, value: Any) -> Any:
        """`value` without the server's own paths and without tracebacks, which are full of them; the run's folder keeps those."""
        if isinstance(value, str):
            for place, name in ((record.out, "OUT"), (self._root, "JOBS"), (str(self._folder.parent), "STATE")):
                value = value.replace(place, name).replace(redacted(place), name)
        elif isinstance(value, dict):
            value = {key: self._scrubbed(record, item) for key, item in value.items() if key != "traceback"}
        elif isinstance(value, list):
            value = [self._scrubbed(record, item) for item in value]
        return value
