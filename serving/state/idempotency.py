"""The first answers to requests with an `Idempotency-Key`, per tenant, for as long as results are kept.

A key is claimed before its request runs. It belongs to that request alone until the answer is kept, the key is released, or the lease
is over: a gateway that died cannot hold a key for longer.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serving.state.database import Database, make_room

_LEASE_MARGIN_S: Final = 30.0


class KeyReused(Exception):
    """The key belongs to another request."""


class StillRunning(Exception):
    """The key's first request has no answer yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: status, headers worth keeping, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """The answers in the shared database."""

    def __init__(self, database: Database, ttl_s: float, lease_s: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """An answer is kept for `ttl_s` and goes sooner where all together exceed `max_bytes`. A request runs for `lease_s` at most."""
        self._database = database
        self._ttl_s = ttl_s
        self._lease_s = lease_s + _LEASE_MARGIN_S
        self._max_bytes = max_bytes
        self._clock = clock

    async def claim(self, tenant_id: str, key: str, request: str, owner: str) -> Answer | None:
        """Take the key for `request` (its fingerprint), or give the answer that is kept under it. KeyReused, StillRunning."""

        def claim(connection: sqlite3.Connection) -> Answer | None:
            now = self._clock()
            connection.execute("DELETE FROM answers WHERE expires <= ?", (now,))
            query = "SELECT request, status, headers, body FROM answers WHERE tenant = ? AND key = ?"
            row = connection.execute(query, (tenant_id, key)).fetchone()
            if row is None:
                values = (tenant_id, key, request, owner, now + self._lease_s)
                connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, 0, NULL, NULL, NULL)", values)
                return None
            if row[0] != request:
                raise KeyReused
            if row[1] is None:
                raise StillRunning
            return Answer(row[1], json.loads(row[2]), row[3])

        return await self._database.run(claim)

    async def keep(self, tenant_id: str, key: str, owner: str, answer: Answer) -> None:
        """Keep the answer of the request that `owner` claimed the key for; nothing where its lease is over."""

        def keep(connection: sqlite3.Connection) -> None:
            query = "SELECT rowid FROM answers WHERE tenant = ? AND key = ? AND owner = ?"
            row = connection.execute(query, (tenant_id, key, owner)).fetchone()
            if row is None:
                return  # the lease is over, and the key may be another request's
            values = (self._clock() + self._ttl_s, len(answer.body), answer.status, json.dumps(answer.headers), answer.body)
            connection.execute(
                "UPDATE answers SET expires = ?, size = ?, status = ?, headers = ?, body = ? WHERE rowid = ?", (*values, *row)
            )
            make_room(connection, "answers", self._max_bytes, row[0])

        await self._database.run(keep)

    async def release(self, tenant_id: str, key: str, owner: str) -> None:
        """Free a key that `owner` still holds; an answer that is kept stays."""
        query = "DELETE FROM answers WHERE tenant = ? AND key = ? AND owner = ? AND status IS NULL"
        await self._database.run(lambda connection: connection.execute(query, (tenant_id, key, owner)))
