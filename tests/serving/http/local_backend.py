"""A `Backend` in this process: the engines of the configuration behind the real batcher, without Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cached_property

from serving.agent.results import FoundPrompt, RefinedPrompt
from serving.engines.batching import DrainBatcher
from serving.engines.fair_queue import SHARED, QueueFull
from serving.engines.stats import EngineStats
from serving.http.contracts import ImageEvent, ModelInfo, Overloaded, Readiness
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest, PreviewingImageEngine
from synthseg.engines.registry import build_image_engine, build_prompt_check, build_scorer, build_text_engine
from synthseg.engines.scorer import Scorer, clip_score
from synthseg.engines.text import StreamingTextEngine, TextEngine, TextReply, TextRequest
from synthseg.method.prompts.agent import PromptAgent
from synthseg.method.prompts.refine import PromptRefiner
from synthseg.records import PromptCandidate, present
from synthseg.taxonomy import taxonomy

Show = Callable[[GeneratedImage], None]
ImageJob = tuple[ImageRequest, int, Show]
ImageAnswer = tuple[GeneratedImage | GenerationFailure, float]


class Gate:
    """Holds the image engine inside its call while closed, so that a test can act meanwhile."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        """Set while a call is being held."""

    def close(self) -> None:
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def wait(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            assert self._open.wait(60), "nobody opened the gate"


class LocalBackend:
    """One image engine and, built when first asked for, one text engine."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.gate = Gate()
        self.batch_sizes: list[int] = []
        self.image_calls: list[ImageRequest] = []
        self._taxonomy = taxonomy(config.taxonomy)
        self.image_engine = build_image_engine(config)
        deployment = config.serving.image
        self.batcher: DrainBatcher[ImageJob, ImageAnswer] = DrainBatcher(
            self._paint, deployment.max_batch_size, lambda job: (job[0].width, job[0].height), max_queued=deployment.max_queued_requests
        )

    @cached_property
    def text_engine(self) -> TextEngine:
        return build_text_engine(self.config)

    @cached_property
    def scorer(self) -> Scorer:
        return build_scorer(self.config)

    def models(self) -> list[ModelInfo]:
        images, prompts = self.config.images, self.config.prompts
        return [
            ModelInfo(images.model or images.engine, "image", self.image_engine.digest),
            ModelInfo(prompts.model or prompts.engine, "text", "text"),
        ]

    async def images(
        self, requests: Sequence[ImageRequest], *, previews: int, deadline_s: float, tenant: str = SHARED
    ) -> AsyncIterator[ImageEvent]:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[ImageEvent | BaseException] = asyncio.Queue()

        async def make(index: int, request: ImageRequest) -> None:
            def show(image: GeneratedImage) -> None:
                loop.call_soon_threadsafe(events.put_nowait, ImageEvent(index, image, final=False))

            try:
                result, engine_s = await self.batcher.submit((request, previews, show), deadline_s, tenant)
            except QueueFull as full:
                events.put_nowait(Overloaded(max(full.wait_s, 1.0), full.queued, own=full.own))
            except Exception as error:  # noqa: BLE001 - handed to the reader
                events.put_nowait(error)
            else:
                events.put_nowait(ImageEvent(index, result, engine_s=engine_s))

        tasks = [asyncio.create_task(make(index, request)) for index, request in enumerate(requests)]
        try:
            missing = len(tasks)
            while missing:
                event = await events.get()
                if isinstance(event, BaseException):
                    raise event
                missing -= event.final
                yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def complete(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> TextReply:
        return (await asyncio.to_thread(self.text_engine.generate, [request]))[0]

    async def stream_text(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> AsyncIterator[str | TextReply]:
        engine = self.text_engine
        if not isinstance(engine, StreamingTextEngine):
            reply = await self.complete(request, deadline_s=deadline_s)
            yield reply.text
            yield reply
            return
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        wanted = True

        def take(piece: str) -> bool:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
            return wanted

        running = asyncio.ensure_future(asyncio.to_thread(engine.stream, request, take))
        running.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield await running
        finally:
            wanted = False

    async def find_prompts(
        self, class_name: str, count: int, seed: int, *, deadline_s: float, tenant: str = SHARED
    ) -> AsyncIterator[FoundPrompt]:
        info = self._taxonomy.select([class_name])[0]
        section = self.config.prompts.model_copy(update={"prompts_per_class": count, "context_prompts_per_class": 0})
        infos, check = self.config.class_infos(), build_prompt_check(self.config)
        agent = PromptAgent(section, self._taxonomy, self.scorer, self.text_engine.generate, infos, prompt_check=check)
        loop = asyncio.get_running_loop()
        accepted: asyncio.Queue[PromptCandidate | None] = asyncio.Queue()

        def on_round(found: Sequence[PromptCandidate]) -> None:
            for candidate in found:
                if candidate.accepted:
                    loop.call_soon_threadsafe(accepted.put_nowait, candidate)

        running = asyncio.ensure_future(asyncio.to_thread(agent.run_class, info, seed, on_round))
        running.add_done_callback(lambda _: accepted.put_nowait(None))
        while (found := await accepted.get()) is not None:
            scores = [present(value) for value in (found.quality, found.class_similarity, found.neighbour_similarity)]
            yield FoundPrompt(found.text, info.name, found.round, *scores)
        await running

    async def refine(self, prompt: str, class_names: Sequence[str], seed: int, *, deadline_s: float, tenant: str = SHARED) -> RefinedPrompt:
        check = build_prompt_check(self.config)
        refiner = PromptRefiner(self.config.prompts, self._taxonomy, self.scorer, self.text_engine.generate, check)
        better = await asyncio.to_thread(refiner.refine, prompt, self._taxonomy.select(class_names), seed)
        return RefinedPrompt(better.text, better.quality, better.reason)

    async def score(self, prompt: str, encoded: bytes, *, deadline_s: float) -> float:
        return await asyncio.to_thread(clip_score, self.scorer, prompt, encoded)

    async def readiness(self) -> Readiness:
        return Readiness(ready=True, parts={"ImageEngine": "ready", "TextEngine": "ready", "PromptAgent": "ready"})

    async def stats(self) -> list[EngineStats]:
        stats = self.batcher.stats
        counts = (stats.queued, stats.running, stats.batches, stats.requests, stats.engine_seconds)
        return [EngineStats("ImageEngine", "local", *counts, self.config.serving.image.max_batch_size)]

    def _paint(self, jobs: Sequence[ImageJob]) -> list[ImageAnswer]:
        self.gate.wait()
        requests = [request for request, _, _ in jobs]
        self.batch_sizes.append(len(jobs))
        self.image_calls += requests
        started = time.monotonic()
        if any(previews for _, previews, _ in jobs) and isinstance(self.image_engine, PreviewingImageEngine):
            wanted = [previews for _, previews, _ in jobs]
            results = self.image_engine.generate_with_previews(requests, wanted, lambda index, image: jobs[index][2](image))
        else:
            results = self.image_engine.generate(requests)
        share = (time.monotonic() - started) / len(jobs)
        return [(result, share) for result in results]
