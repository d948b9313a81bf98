"""Who submitted what and how far it is, in the gateways' shared database. Every step is one transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from serving.http.contracts import Conflict, JobReason, JobStatus, Overloaded
from serving.state.database import Database

Result = TypeVar("Result")

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY, tenant TEXT, spec TEXT, out TEXT, status TEXT, created_at REAL, finished_at REAL, message TEXT,
    attempt INTEGER, cancelled INTEGER, deleted INTEGER, seen_at REAL,
    started_at REAL DEFAULT 0, used_s REAL DEFAULT 0, over TEXT DEFAULT '', purge INTEGER DEFAULT 0
)""",
    # Apart from the jobs, which a tenant may delete: that must not move it to the front.
    "CREATE TABLE IF NOT EXISTS turns (tenant TEXT PRIMARY KEY, served_at REAL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS jobs_one_per_folder ON jobs (out) WHERE status IN ('queued', 'running')",
    "CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, created_at)",
)
_NEWER_COLUMNS: Final = ("started_at REAL DEFAULT 0", "used_s REAL DEFAULT 0", "over TEXT DEFAULT ''", "purge INTEGER DEFAULT 0")
"""Of the table of jobs, which an earlier version may have made without them."""
_SWITCHES: Final = ("cancelled", "deleted", "purge")
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
    started_at: float = 0.0
    """When the latest start was made."""
    used_s: float = 0.0
    """How long earlier starts were going."""
    over: str = ""
    """The `JobReason` for which this server stops it; empty for a job within its limits."""
    purge: bool = False
    """Its folder goes with it."""

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
        """Queue `record`. Conflict while the same run of this tenant is going or its folder is being removed; Overloaded when
        `max_queued` of them wait already.
        """

        def work(connection: sqlite3.Connection) -> None:
            same = connection.execute(
                "SELECT job_id, deleted FROM jobs WHERE out = ? AND (status IN ('queued', 'running') OR purge = 1)", (record.out,)
            ).fetchone()
            if same:
                job_id, deleted = same
                if deleted:
                    raise Conflict("The same run is still being stopped, for a job that was deleted; try again in a minute.")
                raise Conflict(f"The same run is going already, as {job_id}; watch that one, or change the spec.")
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

    async def of_tenant(self, tenant: str, limit: int) -> list[Record]:
        """The tenant's newest `limit` jobs, newest first."""
        return await self._select("tenant = ? AND deleted = 0", tenant, limit=limit)

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
                "SELECT job_id, jobs.tenant FROM jobs LEFT JOIN turns ON turns.tenant = jobs.tenant "
                "WHERE status = 'queued' ORDER BY coalesce(served_at, 0), created_at LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            job_id, tenant = row
            now = self._clock()
            connection.execute("INSERT OR REPLACE INTO turns (tenant, served_at) VALUES (?, ?)", (tenant, now))
            connection.execute(
                "UPDATE jobs SET status = 'running', attempt = attempt + 1, seen_at = ?, started_at = ?, message = '' WHERE job_id = ?",
                (now, now, job_id),
            )
            return _records(connection, "job_id = ?", job_id)[0]

        return await self._run(work)

    async def seen(self, record: Record) -> bool:
        """Ray knows this start to be going. False when the job has moved on from it meanwhile."""
        return await self._run(lambda connection: _update(connection, record, seen_at=self._clock()))

    async def stop_for(self, record: Record, reason: JobReason) -> bool:
        """This start has used more than it may: whoever watches it is to stop it. False when the job has moved on."""
        return await self._run(lambda connection: _update(connection, record, over=reason))

    async def requeue(self, record: Record, message: str, *, counted: bool) -> bool:
        """This start came to nothing and the run is to be started again; `counted` says whether it was a start at all.

        False for a job that was cancelled meanwhile, which ends instead.
        """

        def work(connection: sqlite3.Connection) -> bool:
            used_s = record.used_s + (max(0.0, record.seen_at - record.started_at) if counted else 0.0)
            _update(connection, record, status="queued", message=message, attempt=record.attempt - (not counted), used_s=used_s)
            ended = (
                "UPDATE jobs SET status = 'cancelled', message = '', finished_at = ? "
                "WHERE job_id = ? AND status = 'queued' AND cancelled = 1"
            )
            return connection.execute(ended, (self._clock(), record.job_id)).rowcount == 0

        return await self._run(work)

    async def finish(self, record: Record, status: JobStatus, message: str = "", ended_at: float | None = None) -> None:
        """This start was the last."""
        changes = {"status": status, "message": message, "finished_at": ended_at or self._clock()}
        await self._run(lambda connection: _update(connection, record, **changes))

    async def cancel(self, record: Record) -> bool:
        """A queued job ends here (True); a running one is marked for whoever watches it."""

        def work(connection: sqlite3.Connection) -> bool:
            ended = "UPDATE jobs SET cancelled = 1, status = 'cancelled', finished_at = ? WHERE job_id = ? AND status = 'queued'"
            connection.execute("UPDATE jobs SET cancelled = 1 WHERE job_id = ? AND status = 'running'", (record.job_id,))
            return connection.execute(ended, (self._clock(), record.job_id)).rowcount == 1

        return await self._run(work)

    async def delete(self, record: Record, *, purge: bool = False) -> bool:
        """Hide the job from everybody and cancel it; the row goes at once (True) unless its run has to be stopped first, or its folder is
        to go, too: it then waits for `forget`. Conflict when that folder is another job's that is going.
        """

        def work(connection: sqlite3.Connection) -> bool:
            if purge:
                other = connection.execute(
                    "SELECT job_id FROM jobs WHERE out = ? AND job_id != ? AND status IN ('queued', 'running')", (record.out, record.job_id)
                ).fetchone()
                if other:
                    raise Conflict(f"{other[0]} is the same run and still going, in the folder that would go; cancel it first.")
            hide = "UPDATE jobs SET cancelled = 1, deleted = 1, purge = ? WHERE job_id = ? AND (status = 'running' OR ?)"
            connection.execute(hide, (purge, record.job_id, purge))
            connection.execute(
                "UPDATE jobs SET status = 'cancelled' WHERE job_id = ? AND status = 'queued' AND purge = 1", (record.job_id,)
            )
            gone = "DELETE FROM jobs WHERE job_id = ? AND status != 'running' AND purge = 0"
            return connection.execute(gone, (record.job_id,)).rowcount == 1

        return await self._run(work)

    async def sweep(self) -> None:
        """Take away deleted jobs whose runs have ended and whose folders stay."""
        gone = "DELETE FROM jobs WHERE deleted = 1 AND purge = 0 AND status != 'running'"
        await self._run(lambda connection: connection.execute(gone).rowcount)

    async def to_purge(self) -> list[Record]:
        """Deleted jobs whose runs have ended and whose folders are to go."""
        return await self._select("purge = 1 AND status NOT IN ('queued', 'running')")

    async def forget(self, record: Record) -> None:
        """Its folder is gone, and so is the job."""
        await self._run(lambda connection: connection.execute("DELETE FROM jobs WHERE job_id = ?", (record.job_id,)).rowcount)

    async def _select(self, condition: str, *values: Any, limit: int = -1) -> list[Record]:
        return await self._run(lambda connection: _records(connection, condition, *values, limit=limit))

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if not self._ready:
            await self._database.run(_make_tables)
            self._ready = True
        return await self._database.run(work)


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    there = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
    for column in _NEWER_COLUMNS:
        if column.partition(" ")[0] not in there:
            connection.execute(f"ALTER TABLE jobs ADD COLUMN {column}")


def _update(connection: sqlite3.Connection, record: Record, **changes: Any) -> bool:
    """Change the row, unless another gateway has moved on from this start (False)."""
    names = ", ".join(f"{name} = ?" for name in changes)
    statement = f"UPDATE jobs SET {names} WHERE job_id = ? AND attempt = ? AND status = 'running'"  # noqa: S608 (our own names)
    return connection.execute(statement, (*changes.values(), record.job_id, record.attempt)).rowcount == 1


def _records(connection: sqlite3.Connection, condition: str, *values: Any, limit: int = -1) -> list[Record]:
    """Newest first, at most `limit` (-1: all)."""
    names = [field.name for field in fields(Record)]
    query = f"SELECT {', '.join(names)} FROM jobs WHERE {condition} ORDER BY created_at DESC, rowid DESC LIMIT ?"  # noqa: S608 (our own)
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(query, (*values, limit))]
    return [Record(**{**row, "spec": json.loads(row["spec"]), **{name: bool(row[name]) for name in _SWITCHES}}) for row in rows]
