"""The engines as Serve deployments. Batch runs and HTTP call the same replicas through handles.

A batch run hands over lists (`generate`); the gateway hands over single requests with a deadline and the tenant that asks (`answer`,
`stream`), so that tenants take turns here, where the requests of all gateways meet.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ray import serve
from ray.serve.exceptions import RayServeException

from serving.engines.batching import DrainBatcher
from serving.engines.fair_queue import SHARED
from serving.engines.health import EngineDead, EngineWatch, exit_process
from serving.engines.stats import EngineStats
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageEngine, ImageRequest, PreviewingImageEngine
from synthseg.engines.text import OnPiece, StreamingTextEngine, TextReply, TextRequest

Result = TypeVar("Result")
ImageResult = GeneratedImage | GenerationFailure

TEXT_ENGINE, IMAGE_ENGINE = "TextEngine", "ImageEngine"
"""Names of the deployments."""
_WARM_UP_SIDE_PX, _WARM_UP_STEPS = 64, 4


@dataclass(frozen=True, slots=True)
class Answer(Generic[Result]):
    """An engine's result and this request's share of the engine's time."""

    result: Result
    engine_s: float


@dataclass(frozen=True, slots=True)
class _ImageJob:
    request: ImageRequest
    num_previews: int = 0
    show: Callable[[GeneratedImage], Any] = lambda _: None
    is_wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class _TextJob:
    request: TextRequest
    on_piece: OnPiece = lambda _: True
    is_wanted: Callable[[], bool] = lambda: True


class _EngineReplica:
    """What all engine replicas answer to."""

    _kind: str
    _engine: Any
    _batcher: DrainBatcher[Any, Any]
    _watch: EngineWatch[Any, Any]
    _max_batch_size: int

    async def digest(self) -> str:
        """The engine's digest."""
        return str(self._engine.digest)

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()

    async def stats(self) -> EngineStats:
        """What this replica did and holds."""
        stats = self._batcher.stats
        return EngineStats(
            self._kind,
            replica_name(),
            stats.queued,
            stats.running,
            stats.batches,
            stats.requests,
            stats.engine_seconds,
            self._max_batch_size,
            self._watch.fault(),
        )

    async def check_health(self) -> None:
        """Serve calls this every few seconds. A dead engine ends the process."""
        try:
            await self._watch.check()
        except EngineDead as reason:
            exit_process(reason)


@serve.deployment(name=TEXT_ENGINE, health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class TextReplica(_EngineReplica):
    """One language model. Answers a request the same whatever else it is asked."""

    _kind = TEXT_ENGINE

    def __init__(self, config: RunConfig, max_batch_size: int = 8, max_queued: int = 0) -> None:
        """`max_queued` 0 sets no bound, here and for images: a batch run bounds its own window."""
        from synthseg.engines.registry import build_text_engine

        self._engine = build_text_engine(config)
        # An engine that tells its text answers one request after another: a batch would only hold back its first reply.
        self._max_batch_size = 1 if isinstance(self._engine, StreamingTextEngine) else max_batch_size
        self._batcher = DrainBatcher(self._run, self._max_batch_size, max_queued=max_queued)
        warm_up = _TextJob(TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1))
        self._run([warm_up])
        self._watch = EngineWatch(self._batcher, warm_up, config.execution.stall_timeout_s, config.serving.give_up_s)

    async def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order."""
        answers = await asyncio.gather(*(self._batcher.submit(_TextJob(request)) for request in requests))
        return [answer.result for answer in answers]

    async def answer(self, request: TextRequest, deadline_s: float, tenant: str = SHARED) -> Answer[TextReply]:
        """One reply. TimeoutError after `deadline_s`, QueueFull at once."""
        is_wanted = True
        try:
            answer: Answer[TextReply] = await self._batcher.submit(_TextJob(request, is_wanted=lambda: is_wanted), deadline_s, tenant)
            return answer
        finally:
            is_wanted = False  # an engine that tells its text piece by piece stops at its next sign of life

    async def stream(self, request: TextRequest, deadline_s: float, tenant: str = SHARED) -> AsyncGenerator[str | Answer[TextReply], None]:
        """Pieces of the text as the engine writes them, where it can, then the whole answer."""

        def submit(show: Callable[[str], bool], is_wanted: Callable[[], bool]) -> Coroutine[Any, Any, Answer[TextReply]]:
            return self._batcher.submit(_TextJob(request, show, is_wanted), deadline_s, tenant)

        async with aclosing(_feed(submit)) as pieces:
            async for piece in pieces:
                yield piece

    def _run(self, jobs: Sequence[_TextJob]) -> list[Answer[TextReply]]:
        started = time.monotonic()
        if isinstance(self._engine, StreamingTextEngine):
            replies = [self._engine.stream(job.request, job.on_piece, lambda job=job: self._alive(job)) for job in jobs]  # type: ignore[misc]
        else:
            replies = self._engine.generate([job.request for job in jobs])
        share = (time.monotonic() - started) / len(jobs)
        return [Answer(reply, share) for reply in replies]

    def _alive(self, job: _TextJob) -> bool:
        """Whether somebody waits for the text; an engine that asks works."""
        self._batcher.progress()
        return job.is_wanted()


@serve.deployment(name=IMAGE_ENGINE, health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class ImageReplica(_EngineReplica):
    """One text-to-image model. A batch holds requests of one size and one set of parameters."""

    _kind = IMAGE_ENGINE

    def __init__(self, config: RunConfig, max_batch_size: int = 0, max_batch_pixels: int = 0, max_queued: int = 0) -> None:
        """`max_batch_size` 0 takes `execution.image_batch_size`; `max_batch_pixels` 0 sets no cap."""
        self._engine = self.build_engine(config)
        self._max_batch_size = max_batch_size or config.execution.image_batch_size
        self._batcher = DrainBatcher(
            self._run, self._max_batch_size, _compatibility, cost=_pixels, max_batch_cost=max_batch_pixels, max_queued=max_queued
        )
        warm_up = _ImageJob(_warm_up_request(config))
        # What is compiled is compiled for a batch as well, where the engine makes several images in one call.
        batches = 1 if config.images.exact or not config.images.compile else 2
        for result in (answer.result for size in (1, self._max_batch_size)[:batches] for answer in self._run([warm_up] * size)):
            if isinstance(result, GenerationFailure):
                raise RuntimeError(f"the image engine failed on its warm-up request: {result.error}")
        self._watch = EngineWatch(self._batcher, warm_up, config.execution.stall_timeout_s)

    @staticmethod
    def build_engine(config: RunConfig) -> ImageEngine:
        """The engine this replica is for; benchmarks put a timed one in its place."""
        from synthseg.engines.registry import build_image_engine

        return build_image_engine(config)

    async def generate(self, requests: Sequence[ImageRequest]) -> list[ImageResult]:
        """One result a request, in order."""
        answers = await asyncio.gather(*(self._batcher.submit(_ImageJob(request)) for request in requests))
        return [answer.result for answer in answers]

    async def answer(self, request: ImageRequest, deadline_s: float, tenant: str = SHARED) -> Answer[ImageResult]:
        """One result. TimeoutError after `deadline_s`, QueueFull at once."""
        is_wanted = True
        try:
            job = _ImageJob(request, is_wanted=lambda: is_wanted)
            answer: Answer[ImageResult] = await self._batcher.submit(job, deadline_s, tenant)
            return answer
        finally:
            is_wanted = False  # an engine that has not begun the picture leaves it out

    async def stream(
        self, request: ImageRequest, num_previews: int, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[GeneratedImage | Answer[ImageResult], None]:
        """At most `num_previews` previews, as many as the engine has, then the answer."""
        async with aclosing(
            _feed(lambda show, is_wanted: self._batcher.submit(_ImageJob(request, num_previews, show, is_wanted), deadline_s, tenant))
        ) as pieces:
            async for piece in pieces:
                yield piece

    def _run(self, jobs: Sequence[_ImageJob]) -> list[Answer[ImageResult]]:
        requests = [job.request for job in jobs]
        started = time.monotonic()
        if isinstance(self._engine, PreviewingImageEngine):
            results = self._engine.generate_with_previews(
                requests,
                [job.num_previews for job in jobs],
                lambda index, image: jobs[index].show(image),
                lambda index: self._alive(jobs[index]),
            )
        else:
            results = self._engine.generate(requests)
        share = (time.monotonic() - started) / len(jobs)
        return [Answer(result, share) for result in results]

    def _alive(self, job: _ImageJob) -> bool:
        """Whether somebody waits for the picture; an engine that asks works."""
        self._batcher.progress()
        return job.is_wanted()


async def _feed(submit: Callable[[Callable[[Any], bool], Callable[[], bool]], Coroutine[Any, Any, Any]]) -> AsyncGenerator[Any, None]:
    """What the engine's thread shows while `submit(show, is_wanted)` waits for the answer, then the answer. Leaving early gives the work
    up: `is_wanted` and the answers of `show` then say so.
    """
    loop = asyncio.get_running_loop()
    shown: asyncio.Queue[tuple[Any] | None] = asyncio.Queue()
    is_wanted = True

    def show(piece: Any) -> bool:
        loop.call_soon_threadsafe(shown.put_nowait, (piece,))
        return is_wanted

    answer = asyncio.create_task(submit(show, lambda: is_wanted))
    answer.add_done_callback(lambda _: shown.put_nowait(None))
    try:
        while (piece := await shown.get()) is not None:
            yield piece[0]
        yield await answer
    finally:
        is_wanted = False
        answer.cancel()


def _warm_up_request(config: RunConfig) -> ImageRequest:
    """A picture at little cost. A diffusion model makes it at the preset's own size, so that too little memory shows before the replica is
    ready and what is compiled is compiled for that size; a few steps are enough for both.
    """
    images = config.images
    prompt, parameters = f"a photo of a {config.class_infos()[0].prompt_text}", dict(images.parameters)
    if images.engine == "painter":
        return ImageRequest(prompt, 0, _WARM_UP_SIDE_PX, _WARM_UP_SIDE_PX, "", parameters)
    if "steps" in parameters:
        parameters["steps"] = min(parameters["steps"], _WARM_UP_STEPS)
    return ImageRequest(prompt, 0, images.width, images.height, images.negative_prompt, parameters)


def _compatibility(job: _ImageJob) -> tuple[int, int, str]:
    return job.request.width, job.request.height, repr(sorted(job.request.parameters.items()))


def _pixels(job: _ImageJob) -> int:
    return job.request.width * job.request.height


def replica_name() -> str:
    """Serve's name of the replica this runs in."""
    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except RayServeException:  # not inside a replica
        return str(os.getpid())
