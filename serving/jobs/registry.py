"""Who submitted what and how far it is, in the gateways' shared database. Every step is one transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from serving.http.backend import Conflict, JobStatus, Overloaded
from serving.http.database import Database

Result = TypeVar("Result")

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY, tenant TEXT, spec TEXT, out TEXT, status TEXT, created_at REAL, started_at REAL, finished_at REAL,
    message TEXT, attempt INTEGER, cancelled INTEGER, deleted INTEGER, seen_at REAL
)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS jobs_one_per_folder ON jobs (out) WHERE status IN ('queued', 'running')",
    "CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, created_at)",
)
_RETRY_AFTER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """One row. Times are seconds since the epoch."""

    job_id: str
    tenant: str
    spec: dict[str, Any]
    out: str
    status: JobStatus
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    message: str = ""
    attempt: int = 0
    """Starts so far."""
    cancelled: bool = False
    """Somebody asked for its end."""
    deleted: bool = False
    """Nobody is to see it any more; the row goes when its run has ended."""
    seen_at: float = 0.0
    """When Ray last knew it to be going."""

    @property
    def submission_id(self) -> str:
        """Ray's name of the latest start."""
        return f"{self.job_id}-{self.attempt}"


class Registry:
    """The table of jobs. `clock` is seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._ready = False

    async def add(self, record: Record, max_queued: int) -> None:
        """Queue `record`. Conflict while the same run of this tenant is going; Overloaded when `max_queued` of them wait already."""

        def work(connection: sqlite3.Connection) -> None:
            same = connection.execute(
                "SELECT job_id FROM jobs WHERE out = ? AND status IN ('queued', 'running')", (record.out,)
            ).fetchone()  # fmt: skip
            if same:
                raise Conflict(f"The same run is going already, as {same[0]}; watch that one, or change the spec.")
            (queued,) = connection.execute(
                "SELECT count(*) FROM jobs WHERE tenant = ? AND status = 'queued'", (record.tenant,)
            ).fetchone()  # fmt: skip
            if queued >= max_queued:
                raise Overloaded(_RETRY_AFTER_S, queued)
            names = [field.name for field in fields(Record)]
            values = [json.dumps(record.spec) if name == "spec" else getattr(record, name) for name in names]
            connection.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608 (our own names)

        await self._run(work)

    async def get(self, tenant: str, job_id: str) -> Record:
        """The tenant's job. KeyError for any other id."""
        found = await self._select("tenant = ? AND job_id = ? AND deleted = 0", tenant, job_id)
        if not found:
            raise KeyError(job_id)
        return found[0]

    async def of_tenant(self, tenant: str) -> list[Record]:
        """The tenant's jobs, newest first."""
        return await self._select("tenant = ? AND deleted = 0", tenant)

    async def unfinished(self) -> list[Record]:
        """Everybody's queued and running jobs."""
        return await self._select("status IN ('queued', 'running')")

    async def claim(self, max_running: int) -> Record | None:
        """The next queued job, now running and the caller's to start; None while there is none or `max_running` are going.

        The tenant who was served longest ago comes first, then the job that waits longest.
        """

        def work(connection: sqlite3.Connection) -> Record | None:
            (running,) = connection.execute("SELECT count(*) FROM jobs WHERE status = 'running'").fetchone()
            if running >= max_running:
                return None
            row = connection.execute(
                "SELECT job_id FROM jobs WHERE status = 'queued' ORDER BY "
                "(SELECT coalesce(max(started_at), 0) FROM jobs AS earlier WHERE earlier.tenant = jobs.tenant), created_at LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            now = self._clock()
            connection.execute(
                "UPDATE jobs SET status = 'running', attempt = attempt + 1, started_at = ?, seen_at = ?, message = '' WHERE job_id = ?",
                (now, now, row[0]),
            )
            return _records(connection, "job_id = ?", row[0])[0]

        return await self._run(work)

    async def seen(self, record: Record) -> bool:
        """Ray knows this start to be going. False when the job has moved on from it meanwhile."""
        return await self._update(record, seen_at=self._clock())

    async def requeue(self, record: Record, message: str, *, counted: bool) -> None:
        """This start came to nothing and the run is to be started again; `counted` says whether it was a start at all.

        A job that was cancelled meanwhile ends instead.
        """
        await self._update(record, status="queued", message=message, attempt=record.attempt - (not counted))
        ended = "UPDATE jobs SET status = 'cancelled', message = '', finished_at = ? WHERE status = 'queued' AND cancelled = 1"
        await self._run(lambda connection: connection.execute(ended, (self._clock(),)).rowcount)

    async def finish(self, record: Record, status: JobStatus, message: str = "", ended_at: float | None = None) -> None:
        """This start was the last."""
        await self._update(record, status=status, message=message, finished_at=ended_at or self._clock())

    async def cancel(self, record: Record) -> None:
        """A queued job ends here; a running one is marked for whoever watches it."""

        def work(connection: sqlite3.Connection) -> None:
            ended = "UPDATE jobs SET cancelled = 1, status = 'cancelled', finished_at = ? WHERE job_id = ? AND status = 'queued'"
            connection.execute(ended, (self._clock(), record.job_id))
            connection.execute("UPDATE jobs SET cancelled = 1 WHERE job_id = ? AND status = 'running'", (record.job_id,))

        await self._run(work)

    async def delete(self, record: Record) -> None:
        """Hide the job from everybody and cancel it; the row goes at once unless its run has to be stopped first."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE jobs SET cancelled = 1, deleted = 1 WHERE job_id = ? AND status = 'running'", (record.job_id,))
            connection.execute("DELETE FROM jobs WHERE job_id = ? AND status != 'running'", (record.job_id,))

        await self._run(work)

    async def sweep(self) -> None:
        """Take away deleted jobs whose runs have ended."""
        await self._run(lambda connection: connection.execute("DELETE FROM jobs WHERE deleted = 1 AND status != 'running'").rowcount)

    async def _update(self, record: Record, **changes: Any) -> bool:
        """Change the row, unless another gateway has moved on from this start (False)."""
        names = ", ".join(f"{name} = ?" for name in changes)
        statement = f"UPDATE jobs SET {names} WHERE job_id = ? AND attempt = ? AND status = 'running'"  # noqa: S608 (our own names)
        values = (*changes.values(), record.job_id, record.attempt)
        return await self._run(lambda connection: connection.execute(statement, values).rowcount) == 1

    async def _select(self, condition: str, *values: Any) -> list[Record]:
        return await self._run(lambda connection: _records(connection, condition, *values))

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if not self._ready:
            await self._database.run(lambda connection: [connection.execute(table).rowcount for table in _TABLES])
            self._ready = True
        return await self._database.run(work)


def _records(connection: sqlite3.Connection, condition: str, *values: Any) -> list[Record]:
    names = [field.name for field in fields(Record)]
    query = f"SELECT {', '.join(names)} FROM jobs WHERE {condition} ORDER BY created_at DESC, rowid DESC"  # noqa: S608 (our own conditions)
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(query, values)]
    return [
        Record(**{**row, "spec": json.loads(row["spec"]), "cancelled": bool(row["cancelled"]), "deleted": bool(row["deleted"])})
        for row in rows
    ]
