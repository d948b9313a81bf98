"""Who may use /v1: checked before a byte of the body is read."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.errors import ApiError, unexpected
from serving.http.limits import Limits
from serving.http.middleware import route_path
from serving.keys import LOCAL, KeyStore, Tenant, tenant_of
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem

GUARDED: Final = "/v1/"
_REALM: Final = {"www-authenticate": 'Bearer realm="synthseg"'}


class AccessMiddleware:
    """Finds the tenant of a request by its bearer key, counts the request against the tenant's limit, or refuses it.

    While no keys are set everybody is the local tenant; `synthseg serve` then listens on loopback only.
    """

    def __init__(self, app: ASGIApp, keys: KeyStore, limits: Limits, serving: ServingConfig) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] == "http" and route_path(scope).startswith(GUARDED):
            try:
                tenant = self._tenant(Headers(scope=scope))
                scope["state"]["tenant"] = tenant
                await self._limits.admit_request(tenant, scope["state"]["headers"])
            except ApiError as refusal:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _tenant(self, headers: Headers) -> Tenant:
        authorization = headers.get("authorization", "")
        try:
            if not self._keys.any():
                self._check_origin(headers.get("origin"))
                return LOCAL
            kind, _, key = authorization.partition(" ")
            record = self._keys.find(key.strip()) if kind.lower() == "bearer" else None
        except UsageProblem:
            # A broken file of keys must lock the door, not open it; the log of the start says what is wrong with it.
            raise unexpected() from None
        if record is None:
            message = "This server needs an API key: Authorization: Bearer KEY." if not authorization else "This API key is not valid."
            raise ApiError(401, message, code="invalid_api_key", headers=_REALM)
        return tenant_of(record, self._serving)

    def _check_origin(self, origin: str | None) -> None:
        """A server without keys trusts whoever reaches loopback, and a foreign web page can: by a name that it points here (DNS
        rebinding). Its requests carry its origin; other programs send none.
        """
        if origin is None or origin in self._serving.cors_origins:
            return
        host = _host(origin)
        if not host or host not in {"localhost", "127.0.0.1", "::1", self._serving.host, _host(self._serving.public_url)}:
            message = "Pages of other hosts may not call a server without keys; set keys, serving.public_url or serving.cors_origins."
            raise ApiError(403, message, code="foreign_origin")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
