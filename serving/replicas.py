"""The engines as Serve deployments. Batch runs call them through handles; HTTP will call the same replicas."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from ray import serve

from serving.batching import DrainBatcher
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.text import TextReply, TextRequest


@serve.deployment(health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class TextReplica:
    """One language model. Answers a request the same whatever else it is asked."""

    def __init__(self, config: RunConfig) -> None:
        from synthseg.engines.registry import build_text_engine

        self._engine = build_text_engine(config)
        self._batcher: DrainBatcher[TextRequest, TextReply] = DrainBatcher(self._engine.generate, max_batch_size=8)

    async def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order."""
        return list(await asyncio.gather(*(self._batcher.submit(request) for request in requests)))

    async def digest(self) -> str:
        """The engine's digest."""
        return self._engine.digest

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()


@serve.deployment(health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class ImageReplica:
    """One text-to-image model. A batch holds requests of one size and one set of parameters."""

    def __init__(self, config: RunConfig) -> None:
        from synthseg.engines.registry import build_image_engine

        self._engine = build_image_engine(config)
        self._batcher: DrainBatcher[ImageRequest, GeneratedImage | GenerationFailure] = DrainBatcher(
            self._engine.generate, max_batch_size=config.execution.image_batch_size, group=_compatibility
        )

    async def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """One result a request, in order."""
        return list(await asyncio.gather(*(self._batcher.submit(request) for request in requests)))

    async def digest(self) -> str:
        """The engine's digest."""
        return self._engine.digest

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()


def _compatibility(request: ImageRequest) -> tuple[int, int, str]:
    return request.width, request.height, repr(sorted(request.parameters.items()))
