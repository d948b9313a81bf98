"""`Idempotency-Key`: the first answer's bytes again, for as long as results are kept.

The same key with the same request gets the bytes that are kept; while the first request still runs it gets 409; with another request it
gets 422. Only a success is kept: after a refusal, a fault or a disconnect the key is free again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.errors import ApiError, invalid
from serving.http.middleware import with_body
from serving.state.idempotency import Answer, Answers, KeyReused, StillRunning
from serving.state.keys import Tenant

HEADER: Final = "idempotency-key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS: Final = ("content-type", "location")


class IdempotencyMiddleware:
    """Wraps the routes; the tenant is known and the body has been read."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

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

    async def _claim(self, tenant_id: str, key: str, request: str, owner: str) -> Answer | None:
        """Take the key, or give the answer that is kept under it. ApiError 400, 409 or 422."""
        if not _KEY.fullmatch(key):
            raise invalid("Idempotency-Key", "Idempotency-Key: must be 1 to 255 printable ASCII characters without spaces")
        try:
            return await self._answers.claim(tenant_id, key, request, owner)
        except KeyReused:
            raise ApiError(
                422, "Idempotency-Key: belongs to another request; use a new key.", code="idempotency_key_reused", param="Idempotency-Key"
            ) from None
        except StillRunning:
            raise ApiError(
                409, "The first request with this Idempotency-Key is still running.", code="request_in_progress",
                param="Idempotency-Key", headers={"retry-after": "1"},
            ) from None  # fmt: skip

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
                    # Kept before the last byte leaves: a client that has the answer finds it kept.
                    await self._answers.keep(tenant_id, key, owner, Answer(status, headers, bytes(body)))
            await send(message)

        try:
            await self._app(scope, receive, record)
        finally:
            await asyncio.shield(self._answers.release(tenant_id, key, owner))


def _fingerprint(scope: Scope, body: bytes) -> str:
    state = hashlib.sha256()
    for part in (scope["path"].encode(), scope["query_string"], body):
        state.update(len(part).to_bytes(8) + part)
    return state.hexdigest()
