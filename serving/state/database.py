"""What the gateway replicas of one endpoint share, in one SQLite file: limits, idempotent answers, files.

Every gateway must see the same folder. With the `wal` journal they must run on one machine (WAL lives in shared memory); with
`delete` the folder may also be a network mount whose file locks work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeVar

from synthseg.errors import UsageProblem

Result = TypeVar("Result")

_BUSY_S: Final = 10.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS buckets (tenant TEXT, kind TEXT, level REAL, at REAL, PRIMARY KEY (tenant, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, tenant TEXT, media_type TEXT, created REAL, expires REAL, size INTEGER, body BLOB);
CREATE TABLE IF NOT EXISTS answers (
    tenant TEXT, key TEXT, request TEXT, owner TEXT, expires REAL, size INTEGER, status INTEGER, headers TEXT, body BLOB,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX IF NOT EXISTS files_by_end ON files (expires);
CREATE INDEX IF NOT EXISTS files_by_holder ON files (tenant, expires, size);
CREATE INDEX IF NOT EXISTS answers_by_end ON answers (expires);
CREATE INDEX IF NOT EXISTS answers_by_holder ON answers (tenant, expires, size);
"""


class Database:
    """One connection in a thread of its own, so that a slow disk never holds the event loop."""

    def __init__(self, folder: Path, journal: Literal["wal", "delete"] = "wal") -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(folder / "state.sqlite3", timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._connection.execute(f"PRAGMA journal_mode = {journal}")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise UsageProblem(f"serving.state_dir: {folder} cannot hold the shared state: {error}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """The result of `work` inside one transaction, which no other gateway can interleave."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def close(self) -> None:
        """Finish what is queued and let go of the file."""
        self._thread.shutdown(wait=True)
        self._connection.close()

    def _transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return result


def make_room(connection: sqlite3.Connection, table: Literal["files", "answers"], max_bytes: int, newest: int) -> None:
    """Delete from `table` until it holds at most `max_bytes`, never the row with the rowid `newest`.

    The key that holds most gives way, its oldest first: one key's flood takes nothing from those that hold less.
    """
    held: dict[str, int] = dict(connection.execute(f"SELECT tenant, sum(size) FROM {table} GROUP BY tenant"))  # noqa: S608 (our own names)
    too_much = sum(held.values()) - max_bytes
    oldest = f"SELECT rowid, size FROM {table} WHERE tenant = ? AND size > 0 AND rowid != ? ORDER BY expires LIMIT 1"  # noqa: S608 (as above)
    while too_much > 0:
        tenant = max(held, key=held.__getitem__)
        row = connection.execute(oldest, (tenant, newest)).fetchone()
        if row is None:
            return
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row[0],))  # noqa: S608 (as above)
        held[tenant] -= row[1]
        too_much -= row[1]
