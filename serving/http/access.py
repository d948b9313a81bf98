"""Who may use /v1, and how much of it at once: checked before a byte of the body is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http import logs
from serving.http.address import is_own_name
from serving.http.errors import ApiError, limit_reached, too_many, unexpected
from serving.http.middleware import route_path
from serving.state.key_watch import KeyWatch
from serving.state.keys import LOCAL, KeyStore, Tenant, tenant_of
from serving.state.limits import LimitReached, Limits
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem

GUARDED: Final = "/v1/"
LOCAL_ONLY: Final = ("/metrics", "/page/config.json")
"""Outside of /v1, and no other host's page is to read it from a server without keys."""
_REALM: Final = {"www-authenticate": 'Bearer realm="synthseg"'}


class AccessMiddleware:
    """Finds the tenant of a request by its bearer key, counts the request against the tenant's limits, or refuses it.

    While no keys are set everybody is the local tenant; `synthseg serve` then listens on loopback only.
    """

    def __init__(self, app: ASGIApp, keys: KeyStore, limits: Limits, serving: ServingConfig) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._serving = serving
        self._watch = KeyWatch(keys)
        self._open: Counter[str] = Counter()
        """Requests under way, by tenant."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if not path.startswith(GUARDED):
            await self._unguarded(path, scope, receive, send)
            return
        state = scope["state"]
        with ExitStack() as held:
            try:
                tenant = state["tenant"] = self._tenant(Headers(scope=scope), state["request_id"])
                held.enter_context(self._place(tenant))
                state["key_ended"] = held.enter_context(self._watch.watched(tenant))
                await self._limits.admit_request(tenant, state["headers"])
            except ApiError as refusal:
                await refusal.response()(scope, receive, send)
            except LimitReached as reached:
                await limit_reached(reached).response()(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _unguarded(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What needs no key. Without keys, what tells of this server is still for those who call it by its own name."""
        if path in LOCAL_ONLY:
            try:
                if not self._has_keys():
                    self._check_local(Headers(scope=scope))
            except ApiError as refusal:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _has_keys(self) -> bool:
        """False as well where they cannot be read: who reads figures then still has to be local."""
        try:
            return self._keys.any()
        except UsageProblem:
            return False

    def _tenant(self, headers: Headers, request_id: str) -> Tenant:
        authorization = headers.get("authorization", "")
        try:
            if not self._keys.any():
                self._check_local(headers)
                return LOCAL
            kind, _, key = authorization.partition(" ")
            record = self._keys.find(key.strip()) if kind.lower() == "bearer" else None
        except UsageProblem as problem:
            # Keys that are lost or cannot be read must lock the door, not open it.
            logs.LOGGER.error("keys cannot be read", extra={"fields": {"request_id": request_id, "problem": str(problem)}})
            raise unexpected() from None
        if record is None:
            message = "This server needs an API key: Authorization: Bearer KEY." if not authorization else "This API key is not valid."
            raise ApiError(401, message, code="invalid_api_key", headers=_REALM)
        return tenant_of(record, self._serving)

    @contextmanager
    def _place(self, tenant: Tenant) -> Iterator[None]:
        """One of the tenant's places: the gateway's own are everybody's, and an open stream holds one for hours. ApiError 429 while
        all are taken.
        """
        most = self._serving.max_open_requests
        if most and self._open[tenant.tenant_id] >= most:
            raise too_many(f"{most} requests are open already, which is all that one key may have.", 1.0, "rate_limit_exceeded")
        self._open[tenant.tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant.tenant_id] -= 1

    def _check_local(self, headers: Headers) -> None:
        """A server without keys trusts whoever reaches loopback, and a foreign web page can: by a name that it points here (DNS
        rebinding). Its requests carry that name as their host and, unless they only read, as their origin; a page elsewhere that posts
        here is known by its origin alone. Other programs send no origin.
        """
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not is_own_name(f"//{host}", self._serving):
            message = "A server without keys answers to its own names only; call it 127.0.0.1, or set keys or serving.public_url."
            raise ApiError(403, message, code="foreign_host")
        if origin is not None and origin not in self._serving.cors_origins and not is_own_name(origin, self._serving):
            message = "Pages of other hosts may not call a server without keys; set keys, serving.public_url or serving.cors_origins."
            raise ApiError(403, message, code="foreign_origin")
