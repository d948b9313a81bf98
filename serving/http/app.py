"""The FastAPI application over a `Backend` and a `JobService`.

Build it in the process that serves it: it holds an open database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from serving.http import errors, logs, tracing
from serving.http.access import AccessMiddleware
from serving.http.contracts import Backend, JobService
from serving.http.deps import Deps
from serving.http.drain import Drain, DrainMiddleware
from serving.http.idempotency import IdempotencyMiddleware
from serving.http.metrics import Metrics
from serving.http.middleware import BodyMiddleware, ObserveMiddleware
from serving.http.openapi import describe
from serving.http.routes import chat, files, health, images, models, page, prompts
from serving.http.routes import jobs as job_routes
from serving.http.spellings import SpellingMiddleware
from serving.state.database import Database
from serving.state.files import FileStore
from serving.state.idempotency import Answers
from serving.state.keys import KeyStore, is_loopback, keys_path
from serving.state.limits import Limits
from synthseg import __version__
from synthseg.config.schema import RunConfig

ROUTERS = (images.router, prompts.router, chat.router, models.router, job_routes.router, files.router, health.router, page.router)
"""Every part of the API: `router(deps) -> APIRouter`."""


def create_app(
    backend: Backend, jobs: JobService | None, config: RunConfig, drain: Drain | None = None, *, server_adds_id: bool = False
) -> FastAPI:
    """The endpoint, which `drain` closes. Without `jobs`, /v1/jobs answers that there are none. `server_adds_id` is ObserveMiddleware's.

    UsageProblem when serving.state_dir or the file of keys cannot be used.
    """
    serving = config.serving
    logs.configure(serving)
    keys = KeyStore(keys_path(serving), required=not is_loopback(serving.host))
    keys.any()
    state = Path(serving.state_dir).expanduser()
    database = Database(state, serving.state_journal)
    several = max(serving.gateway.num_replicas, serving.gateway.max_replicas) > 1
    deps = Deps(
        backend=backend,
        jobs=jobs,
        config=config,
        files=FileStore(database, serving.files_ttl_s, serving.files_max_bytes),
        limits=Limits(database),
        metrics=Metrics(state / "metrics" if several else None),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if jobs is not None:
            jobs.start()
        gateways = deps.metrics.gateways
        publishing = asyncio.create_task(gateways.publish_for_ever()) if gateways else None
        yield
        if gateways and publishing:
            publishing.cancel()
            gateways.publish()
        if jobs is not None:
            await jobs.close()
        database.close()
        await asyncio.to_thread(tracing.flush)

    app = FastAPI(title="SynthSeg", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi = partial(describe, app)  # type: ignore[method-assign] # FastAPI's documented way
    errors.install(app)
    for build in ROUTERS:
        app.include_router(build(deps), responses=errors.responses(400, 401, 403, 429, 500))

    # The one added last sees a request first.
    answers = Answers(database, serving.files_ttl_s, serving.deadline_s, serving.files_max_bytes)
    app.add_middleware(IdempotencyMiddleware, answers=answers)
    app.add_middleware(BodyMiddleware, max_bytes=serving.max_body_bytes)
    app.add_middleware(AccessMiddleware, keys=keys, limits=deps.limits, serving=serving)
    app.add_middleware(SpellingMiddleware, keep=(page.REFERENCE_FOLDER,))
    app.add_middleware(DrainMiddleware, drain=drain or Drain())
    if serving.cors_origins:
        app.add_middleware(CORSMiddleware, **_cors(serving.cors_origins))
    app.add_middleware(ObserveMiddleware, metrics=deps.metrics, server_adds_id=server_adds_id)
    tracing.install(app)
    return app


def _cors(origins: tuple[str, ...]) -> dict[str, Any]:
    """Browsers of these origins may call the API with a key; cookies are never used."""
    return {
        "allow_origins": list(origins),
        "allow_methods": ["GET", "POST", "DELETE"],
        "allow_headers": ["authorization", "content-type", "idempotency-key", "x-request-id"],
        "expose_headers": ["x-request-id", "retry-after", "openai-processing-ms", "idempotent-replayed"],
    }
