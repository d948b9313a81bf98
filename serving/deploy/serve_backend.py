"""The HTTP routes' `Backend` over Serve deployments."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import PurePath
from typing import Any

from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from cluster.ray.compat import by_reference
from serving.agent.replica import PROMPT_AGENT
from serving.agent.results import FoundPrompt, RefinedPrompt
from serving.engines.client import cancel
from serving.engines.fair_queue import SHARED, QueueFull, check_room
from serving.engines.replicas import IMAGE_ENGINE, TEXT_ENGINE, Answer
from serving.engines.running_mean import RunningMean
from serving.engines.stats import EngineStats
from serving.http.contracts import DeadlineExceeded, EngineUnavailable, ImageEvent, ModelInfo, Overloaded, Readiness
from synthseg.config.schema import RunConfig
from synthseg.config.serving import DeploymentConfig
from synthseg.engines.image import GenerationFailure, ImageRequest
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.errors import SynthSegError

MAX_ATTEMPTS = 4
"""Tries for one request whose replica dies under it. Equal requests give equal bytes, so a retry cannot change an answer."""
_RETRY_PAUSE_S = 0.2
_STATS_TIMEOUT_S = 2.0
_LOST = (RayActorError, ReplicaUnavailableError, RequestCancelledError, TaskCancelledError)
"""How the loss of a replica shows: it died, was taken down, or gave its requests up while it was being taken down."""
_UNREPEATABLE = ("openai", "vllm")
"""Text engines whose text may depend on what else they are asked at the time."""
_NEWEST_SHARE = 0.1
_LOG = logging.getLogger("synthseg.serving")
_RETRY_AFTER_S = (1.0, 60.0)


class _Deployment:
    """Calls to the replicas of one deployment, with their losses mended and their refusals translated."""

    def __init__(self, name: str, handle: DeploymentHandle[Any], config: DeploymentConfig, *, repeatable: bool = True) -> None:
        """`repeatable`: equal requests get equal answers, so that a broken stream can be taken up by another replica."""
        self.name = name
        self._repeatable = repeatable
        self.may_sleep = config.max_replicas > 0 and config.min_replicas == 0
        # The handle keeps the transport of the process that made it, which had imported Ray Serve before `start_ray` chose gRPC.
        self._handle = by_reference(handle, on=os.environ.get("RAY_SERVE_USE_GRPC_BY_DEFAULT") != "1")
        self._streams = self._handle.options(stream=True)
        self._config = config
        self._pace_s = RunningMean(_NEWEST_SHARE)
        self._room = config.max_ongoing_requests * max(config.num_replicas, config.max_replicas)
        """Requests that all replicas hold together. What is beyond waits in Serve's own queue, which knows no tenants."""
        self._open: Counter[str] = Counter()

    @contextmanager
    def places(self, tenant: str, num_requests: int = 1) -> Iterator[None]:
        """Room for so many requests of `tenant`, or Overloaded before any of them is sent: one tenant of this gateway must fill neither the
        replicas nor the queue for them. On a server without keys there is but one.
        """
        if tenant != SHARED:
            try:
                own = self._open[tenant]
                check_room(self._room, self._open.total(), own, self._wait_s(own + num_requests), tenant, num_requests)
            except QueueFull as full:
                raise _overloaded(full) from None
        self._open[tenant] += num_requests
        try:
            yield
        finally:
            self._open[tenant] -= num_requests
            if not self._open[tenant]:
                del self._open[tenant]

    async def call(self, method: str, *args: Any, deadline_s: float, tenant: str = SHARED) -> Any:
        """The result of `method(*args, seconds left, tenant)` on some replica."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        for attempt in range(MAX_ATTEMPTS):
            try:
                return await self._once(method, args, deadline, tenant)
            except _LOST as error:
                await self._pause(attempt, error, deadline)
        raise AssertionError("the last attempt raises")

    async def stream(self, method: str, *args: Any, deadline_s: float, tenant: str = SHARED) -> AsyncGenerator[Any, None]:
        """What `method(*args, seconds left, tenant)` on some replica yields. After a loss another replica yields it all again, which must
        be the same, and what has been passed on is left out; where it may not be the same, the stream ends with EngineUnavailable.
        """
        deadline = asyncio.get_running_loop().time() + deadline_s
        passed_on = 0
        for attempt in range(MAX_ATTEMPTS):
            try:
                seen = 0
                async with aclosing(self._stream_once(method, args, deadline, tenant)) as items:
                    async for item in items:
                        seen += 1
                        if seen > passed_on:
                            passed_on = seen
                            yield item
                return
            except _LOST as error:
                if passed_on and not self._repeatable:
                    raise EngineUnavailable(f"{self.name} lost the replica that was writing") from error
                await self._pause(attempt, error, deadline)

    async def stats(self) -> list[EngineStats]:
        """Those replicas that answer in time; none while there is no replica."""
        try:
            answers = await self._handle.broadcast("stats").results_async(timeout_s=_STATS_TIMEOUT_S, return_exceptions=True)
        except (TimeoutError, DeploymentUnavailableError, *_LOST):
            return []
        return [answer for answer in answers if isinstance(answer, EngineStats)]

    async def digest(self) -> str:
        """The engine's digest, as soon as a replica is up."""
        return str(await self._handle.digest.remote())

    def note_pace(self, engine_s: float) -> None:
        """Remember what a request costs, for the wait that a refusal announces."""
        self._pace_s.add(engine_s)

    async def _once(self, method: str, args: tuple[Any, ...], deadline: float, tenant: str) -> Any:
        left_s = self._left(deadline)
        response = getattr(self._handle, method).remote(*args, left_s, tenant)
        with self._translating(response):
            async with asyncio.timeout(left_s):
                return await response

    async def _stream_once(self, method: str, args: tuple[Any, ...], deadline: float, tenant: str) -> AsyncGenerator[Any, None]:
        response = getattr(self._streams, method).remote(*args, self._left(deadline), tenant)
        with self._translating(response):
            while True:
                try:
                    async with asyncio.timeout(self._left(deadline)):
                        item = await anext(response)
                except StopAsyncIteration:
                    return
                yield item

    @contextmanager
    def _translating(self, response: Any) -> Iterator[None]:
        """Errors as the routes know them. When the caller leaves or the time is up, the replica is told that nobody waits any more."""
        try:
            yield
        except BaseException as error:
            cancel(response)
            known = self._known(error)
            if known is None:
                raise
            raise known from error

    def _known(self, error: BaseException) -> Exception | None:
        if isinstance(error, TimeoutError):  # the clock here, or the replica's own
            return DeadlineExceeded(f"{self.name} did not answer in time")
        if isinstance(error, BackPressureError):  # this gateway's queue for the replicas
            queued = int(error.args[0])
            in_hand = self._config.max_ongoing_requests * self._config.num_replicas
            return _overloaded(QueueFull(queued, self._wait_s(queued + in_hand)))
        if isinstance(error, DeploymentUnavailableError):
            return EngineUnavailable(f"{self.name} could not be started")
        # What the replica raised: wrapped by an actor call, as it was by gRPC.
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, QueueFull):  # the replica's own queue, which several gateways fill
            return _overloaded(cause)
        if isinstance(cause, SynthSegError) and not isinstance(cause, RequestRefused):
            return self.unavailable(cause)
        return cause if isinstance(cause, Exception) and cause is not error else None

    def unavailable(self, cause: SynthSegError) -> EngineUnavailable:
        """What the owner of this server can mend stands in the log; clients are told no more than that nothing can answer."""
        _LOG.error("%s cannot answer: %s", self.name, cause)
        return EngineUnavailable(f"{self.name} cannot answer")

    def _wait_s(self, num_requests: int) -> float:
        return self._pace_s.value * num_requests / self._config.num_replicas

    async def _pause(self, attempt: int, error: BaseException, deadline: float) -> None:
        if attempt == MAX_ATTEMPTS - 1:
            raise EngineUnavailable(f"{self.name} lost {MAX_ATTEMPTS} replicas under one request") from error
        await asyncio.sleep(min(_RETRY_PAUSE_S * 2**attempt, self._left(deadline)))

    def _left(self, deadline: float) -> float:
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise DeadlineExceeded(f"{self.name} did not answer in time")
        return left_s


class ServeBackend:
    """Engines behind handles. `connect` makes one."""

    def __init__(self, config: RunConfig, text: DeploymentHandle[Any], image: DeploymentHandle[Any], agent: DeploymentHandle[Any]) -> None:
        serving = config.serving
        self._config = config
        repeatable = config.prompts.engine not in _UNREPEATABLE
        self._text = _Deployment(TEXT_ENGINE, text, serving.text, repeatable=repeatable)
        self._image = _Deployment(IMAGE_ENGINE, image, serving.image)
        self._agent = _Deployment(PROMPT_AGENT, agent, serving.prompt_agent, repeatable=repeatable)
        self._models: list[ModelInfo] = []
        self._asked: asyncio.Future[list[list[EngineStats]]] | None = None

    @classmethod
    async def connect(
        cls, config: RunConfig, text: DeploymentHandle[Any], image: DeploymentHandle[Any], agent: DeploymentHandle[Any]
    ) -> ServeBackend:
        """The backend, once a replica of each engine is up, which it is after it has answered a warm-up request."""
        backend = cls(config, text, image, agent)
        image_digest, text_digest = await asyncio.gather(backend._image.digest(), backend._text.digest())
        backend._models = [
            ModelInfo(_model_id(config.images.model, config.images.engine), "image", image_digest),
            ModelInfo(_model_id(config.prompts.model, config.prompts.engine), "text", text_digest),
        ]
        return backend

    def models(self) -> list[ModelInfo]:
        """As `Backend.models`."""
        return list(self._models)

    async def images(
        self, requests: Sequence[ImageRequest], *, previews: int, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[ImageEvent, None]:
        """As `Backend.images`: each request is a call of its own, so that they spread over the replicas."""
        with self._image.places(tenant, len(requests)):
            async with aclosing(self._spread(requests, previews, deadline_s, tenant)) as events:
                async for event in events:
                    yield event

    async def _spread(
        self, requests: Sequence[ImageRequest], previews: int, deadline_s: float, tenant: str
    ) -> AsyncGenerator[ImageEvent, None]:
        events: asyncio.Queue[ImageEvent | asyncio.Task[None]] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._make(index, request, previews, deadline_s, tenant, events.put_nowait))
            for index, request in enumerate(requests)
        ]
        for task in tasks:
            task.add_done_callback(events.put_nowait)
        try:
            unfinished = len(tasks)
            while unfinished:
                event = await events.get()
                if isinstance(event, ImageEvent):
                    yield event
                else:
                    unfinished -= 1
                    event.result()
        finally:
            await _cancelled(tasks)

    async def complete(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> TextReply:
        """As `Backend.complete`."""
        with self._text.places(tenant):
            answer: Answer[TextReply] = await self._text.call("answer", request, deadline_s=deadline_s, tenant=tenant)
        self._text.note_pace(answer.engine_s)
        return answer.result

    async def stream_text(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> AsyncGenerator[str | TextReply, None]:
        """As `Backend.stream_text`."""
        with self._text.places(tenant):
            async with aclosing(self._text.stream("stream", request, deadline_s=deadline_s, tenant=tenant)) as items:
                async for item in items:
                    if isinstance(item, Answer):
                        self._text.note_pace(item.engine_s)
                        yield item.result
                    else:
                        yield item

    async def find_prompts(
        self, class_name: str, count: int, seed: int, *, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[FoundPrompt, None]:
        """As `Backend.find_prompts`."""
        try:
            with self._agent.places(tenant):
                async with aclosing(self._agent.stream("find", class_name, count, seed, deadline_s=deadline_s, tenant=tenant)) as items:
                    async for item in items:
                        yield item
        except RequestRefused as refused:  # the caller gave a class and no text: what the model refuses are the agent's own words
            raise self._agent.unavailable(refused) from None

    async def refine(self, prompt: str, class_names: Sequence[str], seed: int, *, deadline_s: float, tenant: str = SHARED) -> RefinedPrompt:
        """As `Backend.refine`."""
        with self._agent.places(tenant):
            arguments = (prompt, tuple(class_names), seed)
            better: RefinedPrompt = await self._agent.call("refine", *arguments, deadline_s=deadline_s, tenant=tenant)
        return better

    async def score(self, prompt: str, encoded: bytes, *, deadline_s: float) -> float:
        """As `Backend.score`, by the CLIP that the prompt agent has loaded."""
        return float(await self._agent.call("score", prompt, encoded, deadline_s=deadline_s))

    async def readiness(self) -> Readiness:
        """As `Backend.readiness`. A replica answers only after its warm-up; one that may sleep while idle counts as ready."""
        parts = {}
        for deployment, found in zip(self._deployments(), await self._all_stats(), strict=True):
            faults = [entry.fault for entry in found] or ["asleep" if deployment.may_sleep else "no replica answers"]
            parts[deployment.name] = faults[0] if all(faults) else "ready"
        return Readiness(all(state in ("ready", "asleep") for state in parts.values()), parts)

    async def stats(self) -> list[EngineStats]:
        """As `Backend.stats`."""
        return [entry for found in await self._all_stats() for entry in found]

    def _deployments(self) -> tuple[_Deployment, ...]:
        return self._image, self._text, self._agent

    async def _all_stats(self) -> list[list[EngineStats]]:
        """Of each deployment. Callers at the same time share one question."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.ensure_future(asyncio.gather(*(deployment.stats() for deployment in self._deployments())))
        return await asyncio.shield(self._asked)

    async def _make(
        self, index: int, request: ImageRequest, previews: int, deadline_s: float, tenant: str, put: Callable[[ImageEvent], None]
    ) -> None:
        """Put the previews and the one outcome of a request. A failure that another try may mend is tried again."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        answer: Answer[Any] | None = None
        for _ in range(MAX_ATTEMPTS):
            left_s = max(0.0, deadline - asyncio.get_running_loop().time())
            if previews:
                async with aclosing(self._image.stream("stream", request, previews, deadline_s=left_s, tenant=tenant)) as items:
                    async for item in items:
                        if isinstance(item, Answer):
                            answer = item
                        else:
                            put(ImageEvent(index, item, final=False))
                previews = 0
            else:
                answer = await self._image.call("answer", request, deadline_s=left_s, tenant=tenant)
            if answer is None:
                raise EngineUnavailable(f"{IMAGE_ENGINE} ended a stream without its image")
            self._image.note_pace(answer.engine_s)
            if not (isinstance(answer.result, GenerationFailure) and answer.result.retryable):
                break
        if answer is not None:
            put(ImageEvent(index, answer.result, engine_s=answer.engine_s))


def _overloaded(full: QueueFull) -> Overloaded:
    least, most = _RETRY_AFTER_S
    return Overloaded(min(most, max(least, full.wait_s)), full.queued, own=full.own)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _model_id(model: str, engine: str) -> str:
    """What clients call a model: its hub id, the name of its file or folder, or the engine that brings its own."""
    path = PurePath(model)
    is_file = path.suffix in (".gguf", ".safetensors")
    if is_file or model.startswith(("/", ".", "~")):
        return path.stem if is_file else path.name
    return model or engine
