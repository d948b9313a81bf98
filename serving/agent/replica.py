"""The Self-Refine Prompt Agent as a deployment: it finds prompts for a class and rewords single prompts, asking the text replicas."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from serving.agent.results import FoundPrompt, RefinedPrompt
from serving.engines.client import cancel
from serving.engines.fair_queue import SHARED, QueueFull
from serving.engines.replicas import Answer, replica_name
from serving.engines.stats import EngineStats
from synthseg.config.schema import RunConfig
from synthseg.engines.registry import build_prompt_check, build_scorer
from synthseg.engines.scorer import Embeddings, Scorer, clip_score
from synthseg.engines.text import TextReply, TextRequest
from synthseg.method.prompts.agent import Generate, PromptAgent
from synthseg.method.prompts.refine import PromptRefiner
from synthseg.records import PromptCandidate, present
from synthseg.taxonomy import taxonomy

Result = TypeVar("Result")

PROMPT_AGENT = "PromptAgent"
_RETRY_PAUSE_S = 0.2


class _SharedScorer:
    """A scorer that several threads may use, one at a time."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._lock = threading.Lock()
        self.digest = scorer.digest
        self.logit_scale = scorer.logit_scale
        self.logit_bias = scorer.logit_bias

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """As the scorer does."""
        with self._lock:
            return self._scorer.embed_texts(texts)

    def embed_fixed_texts(self, texts: Sequence[str]) -> Embeddings:
        """As the scorer does."""
        with self._lock:
            return self._scorer.embed_fixed_texts(texts)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> Embeddings:
        """As the scorer does."""
        with self._lock:
            return self._scorer.embed_images(images)


@serve.deployment(name=PROMPT_AGENT, health_check_period_s=5, health_check_timeout_s=60, graceful_shutdown_timeout_s=2)
class PromptAgentReplica:
    """Runs agents in threads, at most `max_ongoing_requests` at once; their questions go to the text replicas."""

    def __init__(self, config: RunConfig, text: DeploymentHandle[Any]) -> None:
        self._config = config
        self._text = text
        self._taxonomy = taxonomy(config.taxonomy)
        self._scorer = _SharedScorer(build_scorer(config))
        self._prompt_check = build_prompt_check(config)
        self._limit = config.serving.prompt_agent.max_ongoing_requests
        self._threads = ThreadPoolExecutor(self._limit, thread_name_prefix="agent")
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._ongoing = self._done = 0
        self._busy_s = 0.0

    async def find(
        self, class_name: str, count: int, seed: int, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[FoundPrompt, None]:
        """Accepted target prompts of a class, given out round by round; TimeoutError after `deadline_s`."""
        info = self._taxonomy.select([class_name])[0]
        section = self._config.prompts.model_copy(update={"prompts_per_class": count, "context_prompts_per_class": 0})
        loop = asyncio.get_running_loop()
        found: asyncio.Queue[FoundPrompt | None] = asyncio.Queue()

        def on_round(candidates: Sequence[PromptCandidate]) -> None:
            for candidate in candidates:
                if candidate.accepted:
                    loop.call_soon_threadsafe(found.put_nowait, _found(candidate, info.name))

        def work(generate: Generate) -> None:
            infos = self._config.class_infos()
            agent = PromptAgent(section, self._taxonomy, self._scorer, generate, infos, prompt_check=self._prompt_check)
            agent.run_class(info, seed, on_round)

        running = asyncio.ensure_future(self._in_thread(work, deadline_s, tenant))
        running.add_done_callback(lambda _: found.put_nowait(None))
        try:
            while (prompt := await found.get()) is not None:
                yield prompt
            await running
        finally:
            running.cancel()

    async def refine(self, prompt: str, class_names: Sequence[str], seed: int, deadline_s: float, tenant: str = SHARED) -> RefinedPrompt:
        """The better wording of a prompt, or the prompt and why it stays; TimeoutError after `deadline_s`."""
        infos = self._taxonomy.select(class_names)
        better = await self._in_thread(
            lambda generate: PromptRefiner(self._config.prompts, self._taxonomy, self._scorer, generate, self._prompt_check).refine(
                prompt, infos, seed
            ),
            deadline_s,
            tenant,
        )
        return RefinedPrompt(better.text, better.quality, better.reason)

    async def score(self, prompt: str, encoded: bytes, deadline_s: float, _: str = SHARED) -> float:
        """Cosine of a prompt and an encoded picture; TimeoutError after `deadline_s`. It has a thread of its own: agents keep theirs for as
        long as the language model takes, and somebody looks at the picture already. Tenants take no turns: it is a matter of milliseconds.
        """
        async with asyncio.timeout(deadline_s):
            return await asyncio.get_running_loop().run_in_executor(self._scoring, clip_score, self._scorer, prompt, encoded)

    async def stats(self) -> EngineStats:
        """Agents that run now, and those that have ended."""
        return EngineStats(PROMPT_AGENT, replica_name(), 0, self._ongoing, self._done, self._done, self._busy_s, self._limit)

    async def pid(self) -> int:
        """Process of this replica, for fault tests and stack dumps."""
        return os.getpid()

    async def _in_thread(self, work: Callable[[Generate], Result], deadline_s: float, tenant: str) -> Result:
        """`work(generate)` in a thread. When this call is cancelled, so is the thread's question to the model, and with it the thread."""
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        given_up = False
        asked: concurrent.futures.Future[list[TextReply]] | None = None

        def generate(requests: Sequence[TextRequest]) -> list[TextReply]:
            nonlocal asked
            left_s = max(0.0, deadline_s - (time.monotonic() - started))
            asked = asyncio.run_coroutine_threadsafe(self._ask(requests, left_s, tenant), loop)
            if given_up:
                asked.cancel()
            return asked.result(left_s)

        self._ongoing += 1
        try:
            return await loop.run_in_executor(self._threads, work, generate)
        finally:
            given_up = True
            if asked is not None:
                asked.cancel()
            self._ongoing -= 1
            self._done += 1
            self._busy_s += time.monotonic() - started

    async def _ask(self, requests: Sequence[TextRequest], deadline_s: float, tenant: str) -> list[TextReply]:
        tasks = [asyncio.ensure_future(self._ask_one(request, deadline_s, tenant)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _ask_one(self, request: TextRequest, deadline_s: float, tenant: str) -> TextReply:
        """One reply, however often a replica dies or is full meanwhile: equal requests give equal text, and the deadline bounds it."""
        while True:
            response = self._text.answer.remote(request, deadline_s, tenant)
            try:
                answer: Answer[TextReply] = await response
            except (BackPressureError, QueueFull, RayActorError, ReplicaUnavailableError):
                await asyncio.sleep(_RETRY_PAUSE_S)
            except asyncio.CancelledError:
                cancel(response)
                raise
            else:
                return answer.result


def _found(accepted: PromptCandidate, class_name: str) -> FoundPrompt:
    return FoundPrompt(
        text=accepted.text,
        class_name=class_name,
        round=accepted.round,
        quality=present(accepted.quality),
        class_similarity=present(accepted.class_similarity),
        neighbour_similarity=present(accepted.neighbour_similarity),
    )
