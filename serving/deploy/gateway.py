"""The HTTP ingress as a Serve deployment."""

from __future__ import annotations

import os
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from serving.deploy.serve_backend import ServeBackend
from serving.http.app import create_app
from serving.http.drain import Drain
from serving.jobs import RayJobService
from synthseg.config.schema import RunConfig

GATEWAY = "Gateway"


@serve.deployment(name=GATEWAY, health_check_period_s=5, health_check_timeout_s=30)
@serve.ingress()
class Gateway:
    """`create_app` over the engine deployments. Holds connections, computes little."""

    def __init__(self, config: RunConfig, text: DeploymentHandle[Any], image: DeploymentHandle[Any], agent: DeploymentHandle[Any]) -> None:
        self._config = config
        self._handles = (text, image, agent)
        self._drain = Drain()

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve calls this once. It waits for the engines, so a gateway that is up can answer."""
        backend = await ServeBackend.connect(self._config, *self._handles)
        jobs = RayJobService(self._config) if self._config.serving.jobs else None
        app = create_app(backend, jobs, self._config, self._drain, server_adds_id=True)
        if jobs is not None:
            jobs.start()  # those of an earlier server included
        return app

    async def drain(self, timeout_s: float) -> bool:
        """Turn new requests away; True once those under way have their answers, False if `timeout_s` was too short."""
        return await self._drain.close(timeout_s)

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()
