"""Results that are fetched by URL: kept per tenant for a while, in the shared state."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.state.database import Database, make_room


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes with their media type."""

    body: bytes
    media_type: str
    expires: float
    """Seconds since the epoch."""


class FileStore:
    """Files by unguessable id. A file is seen by its own tenant only, until it expires or has to make room."""

    def __init__(self, database: Database, ttl_s: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock

    async def put(self, tenant_id: str, body: bytes, media_type: str) -> str:
        """Id of the stored `body`."""
        file_id = f"file-{secrets.token_urlsafe(18)}"
        now = self._clock()

        def store(connection: sqlite3.Connection) -> None:
            row = (file_id, tenant_id, media_type, now, now + self._ttl_s, len(body), body)
            connection.execute("DELETE FROM files WHERE expires <= ?", (now,))
            newest = connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING rowid", row).fetchone()[0]
            make_room(connection, "files", self._max_bytes, newest)

        await self._database.run(store)
        return file_id

    async def get(self, tenant_id: str, file_id: str) -> StoredFile:
        """The file; KeyError when it is unknown, expired or another tenant's."""
        query = "SELECT body, media_type, expires FROM files WHERE id = ? AND tenant = ? AND expires > ?"
        row = await self._database.run(lambda connection: connection.execute(query, (file_id, tenant_id, self._clock())).fetchone())
        if row is None:
            raise KeyError(file_id)
        return StoredFile(*row)
