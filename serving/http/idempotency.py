"""`Idempotency-Key`: the first answer's bytes again, for as long as results are kept.

The answer to a POST with a key is recorded per tenant in the shared state. The same key with the same request gets the
recorded bytes; while the first request still runs it gets 409; with another request it gets 422. Only a success is recorded:
after a refusal, a fault or a disconnect the key is free again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.database import Database, make_room
from serving.http.errors import ApiError, invalid
from serving.http.middleware import with_body
from serving.keys import Tenant

HEADER: Final = "idempotency-key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS: Final = ("content-type", "location")
_LEASE_MARGIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class IdempotencyMiddleware:
    """Wraps the routes; the tenant is known and the body has been read."""

    def __init__(
        self, app: ASGIApp, database: Database, ttl_s: float, lease_s: float, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        """`lease_s` is how long one request may run at most: a gateway that died cannot hold a key for longer."""
        self._app = app
        self._database = database
        self._ttl_s = ttl_s
        self._lease_s = lease_s + _LEASE_MARGIN_S
        self._max_bytes = max_bytes
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        tenant: Tenant | None = scope.get("state", {}).get("tenant")
        if key is None or tenant is None:
            await self._app(scope, receive, send)
            return
        body = (await receive())["body"]
        owner = secrets.token_hex(8)
        try:
            if not _KEY.fullmatch(key):
                raise invalid("Idempotency-Key", "Idempotency-Key: must be 1 to 255 printable ASCII characters without spaces")
            answer = await self._claim(tenant.tenant_id, key, _fingerprint(scope, body), owner)
        except ApiError as refusal:
            await refusal.response()(scope, receive, send)
            return
        if answer is not None:
            scope["state"]["log"]["replayed"] = True
            headers = [(name.encode(), value.encode()) for name, value in {**answer.headers, "idempotent-replayed": "true"}.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})
            return
        await self._first(tenant.tenant_id, key, owner, scope, with_body(body, receive), send)

    async def _first(self, tenant_id: str, key: str, owner: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request, recording what is sent; keep it when it is a whole success."""
        status, headers, body, complete = 0, {}, bytearray(), False

        async def record(message: Message) -> None:
            nonlocal status, headers, complete
            if message["type"] == "http.response.start":
                found = Headers(raw=message["headers"])
                status, headers = message["status"], {name: found[name] for name in _KEPT_HEADERS if name in found}
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                complete = not message.get("more_body", False)
                if complete and 200 <= status < 300 and "stream_error" not in scope["state"]:
                    # Recorded before the last byte leaves: a client that has the answer finds it recorded.
                    await self._keep(tenant_id, key, owner, _Answer(status, headers, bytes(body)))
            await send(message)

        try:
            await self._app(scope, receive, record)
        finally:
            await asyncio.shield(self._release(tenant_id, key, owner))

    async def _claim(self, tenant_id: str, key: str, request: str, owner: str) -> _Answer | None:
        """Take the key, or give the answer that is recorded under it. ApiError 409 or 422."""

        def claim(connection: sqlite3.Connection) -> _Answer | None:
            now = self._clock()
            connection.execute("DELETE FROM answers WHERE expires <= ?", (now,))
            query = "SELECT request, status, headers, body FROM answers WHERE tenant = ? AND key = ?"
            row = connection.execute(query, (tenant_id, key)).fetchone()
            if row is None:
                values = (tenant_id, key, request, owner, now + self._lease_s)
                connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, 0, NULL, NULL, NULL)", values)
                return None
            if row[0] != request:
                raise ApiError(
                    422, "Idempotency-Key: belongs to another request; use a new key.", code="idempotency_key_reused",
                    param="Idempotency-Key",
                )  # fmt: skip
            if row[1] is None:
                raise ApiError(
                    409, "The first request with this Idempotency-Key is still running.", code="request_in_progress",
                    param="Idempotency-Key", headers={"retry-after": "1"},
                )  # fmt: skip
            return _Answer(row[1], json.loads(row[2]), row[3])

        return await self._database.run(claim)

    async def _keep(self, tenant_id: str, key: str, owner: str, answer: _Answer) -> None:
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

    async def _release(self, tenant_id: str, key: str, owner: str) -> None:
        """Free a key that this request still holds; a recorded answer stays."""
        query = "DELETE FROM answers WHERE tenant = ? AND key = ? AND owner = ? AND status IS NULL"
        await self._database.run(lambda connection: connection.execute(query, (tenant_id, key, owner)))


def _fingerprint(scope: dict[str, Any], body: bytes) -> str:
    state = hashlib.sha256()
    for part in (scope["path"].encode(), scope["query_string"], body):
        state.update(len(part).to_bytes(8) + part)
    return state.hexdigest()
