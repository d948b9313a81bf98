"""What the routes share. Each router is built by `router(deps) -> APIRouter`; nothing lives in module globals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.http.contracts import Backend, JobService
from serving.http.metrics import Metrics
from serving.state.files import FileStore
from serving.state.keys import Tenant
from serving.state.limits import Limits
from synthseg.config.schema import RunConfig
from synthseg.config.serving import ServingConfig

_BEARER = HTTPBearer(auto_error=False, description="An API key from `synthseg keys add`. Not needed while the server has no keys.")


async def current_tenant(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None) -> Tenant:
    """The tenant that `AccessMiddleware` has let in."""
    tenant: Tenant = request.state.tenant
    return tenant


CurrentTenant = Annotated[Tenant, Depends(current_tenant)]
"""Parameter of every route under /v1: `async def route(tenant: CurrentTenant)`."""
AUTHENTICATED = [Depends(current_tenant)]
"""`APIRouter(dependencies=AUTHENTICATED)` for routes that need a key but not to know whose."""


@dataclass(frozen=True, slots=True)
class Deps:
    """The collaborators of the routes."""

    backend: Backend
    jobs: JobService | None
    """None where jobs are switched off."""
    config: RunConfig
    files: FileStore
    limits: Limits
    metrics: Metrics

    @property
    def serving(self) -> ServingConfig:
        """The HTTP settings."""
        return self.config.serving
