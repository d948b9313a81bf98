"""`/healthz`, `/readyz` and `/metrics`: for load balancers and for Prometheus. They need no key and name no tenant."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from serving.engines.stats import EngineStats
from serving.http.contracts import Readiness
from serving.http.deps import Deps

ANSWER_S: Final = 5.0
"""Time the engines have to say how they are; silence counts as a fault."""
_WELL: Final = ("ready", "starting", "asleep")


class Health(BaseModel):
    """How the endpoint is, and each part of it: `ready`, `starting`, `asleep` (scaled to zero), or what is wrong."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, str]


def router(deps: Deps) -> APIRouter:
    """The routes beside the API."""
    routes = APIRouter(tags=["health"])
    unavailable: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Not now; `parts` says why."}}

    @routes.get("/healthz", summary="Is anything broken?", response_model=Health, responses=unavailable)
    async def healthz() -> Response:
        """503 when an engine is dead; one that is still starting is healthy."""
        found = await _readiness(deps)
        return _health(found, well=all(part in _WELL for part in found.parts.values()))

    @routes.get("/readyz", summary="May traffic come?", response_model=Health, responses=unavailable)
    async def readyz() -> Response:
        """200 only after every engine has answered a warm-up request, and while all live."""
        found = await _readiness(deps)
        return _health(found, well=found.ready)

    @routes.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        readiness, engines = await asyncio.gather(_readiness(deps), _stats(deps))
        return Response(deps.metrics.render(engines, ready=readiness.ready), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _readiness(deps: Deps) -> Readiness:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await deps.backend.readiness()
    except TimeoutError:
        return Readiness(ready=False, parts={"engines": f"no answer within {ANSWER_S:.0f} s"})


async def _stats(deps: Deps) -> list[EngineStats]:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await deps.backend.stats()
    except TimeoutError:
        return []


def _health(found: Readiness, *, well: bool) -> JSONResponse:
    body = Health(status="ok" if well else "unavailable", parts=found.parts)
    return JSONResponse(body.model_dump(), 200 if well else 503, {"cache-control": "no-store"})
