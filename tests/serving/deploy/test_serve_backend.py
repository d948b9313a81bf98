"""What becomes of losses, refusals and leavers. The replicas are real classes; only the handles between are stand-ins that fail as told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from serving.agent.results import FoundPrompt
from serving.deploy.serve_backend import MAX_ATTEMPTS, ServeBackend, _model_id
from serving.engines.fair_queue import QueueFull
from serving.engines.replicas import TEXT_ENGINE, Answer, ImageReplica, TextReplica
from serving.engines.stats import EngineStats
from serving.http.contracts import DeadlineExceeded, EngineUnavailable, ImageEvent, Overloaded
from synthseg.config.loading import load_config
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.errors import RunFailure, UsageProblem

CONFIG = load_config("embedded", ["prompts.engine=template"])
REQUESTS = [ImageRequest(prompt, 3, 64, 64) for prompt in ("a red car", "a cat on a sofa", "two horses in a meadow")]


class Response:
    """What a handle gives for one call. `broken` is raised in place of the result, or of the item of that number."""

    def __init__(self, result: Any, broken: Exception | None = None, after: int = 0) -> None:
        self._result = result
        self._broken = broken
        self._after = after
        self._given = 0
        self.cancelled = False

    def __await__(self) -> Any:
        return self._get().__await__()

    async def _get(self) -> Any:
        if self._broken:
            raise self._broken
        return await self._result

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> Any:
        if self._broken and self._given == self._after:
            raise self._broken
        self._given += 1
        return await anext(self._result)

    def cancel(self) -> None:
        self.cancelled = True
        if self._broken:  # as Serve's own responses do
            raise self._broken


class Handle:
    """Passes calls to a replica in this process; the first ones fail with `failures`, streams after `after` items."""

    def __init__(self, replica: Any, failures: list[Exception] | None = None, after: int = 0) -> None:
        self._replica = replica
        self._failures = failures if failures is not None else []
        self._after = after
        self.responses: list[Response] = []
        self.by_reference = True

    def options(self, *, stream: bool = False, _by_reference: bool | None = None) -> Handle:
        assert stream or _by_reference is not None
        self.by_reference = self.by_reference if _by_reference is None else _by_reference
        return self

    def __getattr__(self, method: str) -> Any:
        def remote(*args: Any) -> Response:
            broken = self._failures.pop(0) if self._failures else None
            result = getattr(self._replica, method)(*args)
            response = Response(result, broken, self._after)
            if broken and isinstance(result, Awaitable):
                result.close()  # type: ignore[attr-defined]
            self.responses.append(response)
            return response

        remote.remote = remote  # type: ignore[attr-defined]
        return remote


TRANSPORTS = ("actor", "grpc")


def as_told(error: Exception, transport: str) -> Exception:
    """What a handle raises for `error` of a replica: itself over gRPC, wrapped where the call is an actor's."""
    told: Exception = pickle.loads(pickle.dumps(error))
    return told if transport == "grpc" else RayTaskError("answer", "traceback", told).as_instanceof_cause()


@pytest.mark.parametrize(("switch", "by_reference"), [("1", False), ("0", True), (None, True)])
def test_calls_go_by_grpc_where_this_process_is_told_so(monkeypatch: pytest.MonkeyPatch, switch: str | None, by_reference: bool) -> None:
    monkeypatch.delenv("RAY_SERVE_USE_GRPC_BY_DEFAULT", raising=False)
    if switch is not None:
        monkeypatch.setenv("RAY_SERVE_USE_GRPC_BY_DEFAULT", switch)
    image = Handle(None)
    backend(image)
    assert image.by_reference is by_reference


def died() -> ActorDiedError:
    return ActorDiedError()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 30)

    asyncio.run(bounded())


def backend(image: Handle | None = None, text: Handle | None = None, agent: Handle | None = None) -> ServeBackend:
    return ServeBackend(CONFIG, text or Handle(None), image or Handle(None), agent or Handle(None))  # type: ignore[arg-type]


def image_replica() -> Any:
    return ImageReplica.func_or_class(CONFIG)


async def collect(events: AsyncIterator[ImageEvent]) -> dict[int, list[ImageEvent]]:
    found: dict[int, list[ImageEvent]] = {}
    async for event in events:
        found.setdefault(event.index, []).append(event)
    return found


@pytest.mark.parametrize("previews", [0, 1])
def test_lost_replicas_change_no_byte(previews: int) -> None:
    async def scenario() -> None:
        handle = Handle(image_replica(), [died(), died()])
        found = await collect(backend(handle).images(REQUESTS, previews=previews, deadline_s=20))
        assert [found[i][-1].result for i in range(3)] == PainterEngine().generate(REQUESTS)
        assert all([event.final for event in found[i]] == [False] * previews + [True] for i in range(3))
        assert len(handle.responses) == 5

    run(scenario)


def test_a_stream_that_breaks_in_the_middle_repeats_nothing() -> None:
    async def scenario() -> None:
        handle = Handle(image_replica(), [died()], after=1)
        found = await collect(backend(handle).images(REQUESTS[:1], previews=1, deadline_s=20))
        assert [event.final for event in found[0]] == [False, True]

    run(scenario)


def test_an_engine_that_always_dies_is_unavailable() -> None:
    async def scenario() -> None:
        handle = Handle(image_replica(), [died() for _ in range(20)])
        with pytest.raises(EngineUnavailable):
            await collect(backend(handle).images(REQUESTS[:1], previews=0, deadline_s=20))
        assert len(handle.responses) == MAX_ATTEMPTS

    run(scenario)


def test_a_full_queue_is_overload_with_a_wait_that_grows_with_it() -> None:
    async def scenario() -> None:
        waits = []
        for queued in (10, 10_000):
            handle = Handle(image_replica(), [BackPressureError(queued, queued)])
            served = backend(handle)
            served._image.note_pace(0.05)
            with pytest.raises(Overloaded) as refused:
                await collect(served.images(REQUESTS[:1], previews=0, deadline_s=20))
            assert refused.value.queued == queued
            waits.append(refused.value.retry_after_s)
        assert 1 <= waits[0] < waits[1] <= 60

    run(scenario)


class Raising:
    """A replica of any kind that raises `error`, as a Serve handle tells it."""

    def __init__(self, error: Exception, transport: str) -> None:
        self._error = as_told(error, transport)

    async def answer(self, *_: Any) -> Any:
        raise self._error

    async def refine(self, *_: Any) -> Any:
        raise self._error

    async def find(self, *_: Any) -> AsyncIterator[Any]:
        raise self._error
        yield

    async def stream(self, *_: Any) -> AsyncIterator[Any]:
        raise self._error
        yield


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_replica_that_other_gateways_have_filled_is_overload(transport: str) -> None:
    async def scenario() -> None:
        with pytest.raises(Overloaded) as refused:
            await collect(backend(Handle(Raising(QueueFull(64, 7.5), transport))).images(REQUESTS[:1], previews=0, deadline_s=20))
        assert (refused.value.queued, refused.value.retry_after_s) == (64, 7.5)

    run(scenario)


class Slow:
    """A replica that never answers."""

    async def answer(self, *_: Any) -> Any:
        await asyncio.Event().wait()


def test_a_deadline_gives_the_work_up() -> None:
    async def scenario() -> None:
        handle = Handle(Slow())
        with pytest.raises(DeadlineExceeded):
            await collect(backend(handle).images(REQUESTS, previews=0, deadline_s=0.1))
        assert [response.cancelled for response in handle.responses] == [True] * 3

    run(scenario)


def test_one_who_leaves_cancels_every_call() -> None:
    async def scenario() -> None:
        handle = Handle(Slow())
        task = asyncio.create_task(collect(backend(handle).images(REQUESTS, previews=0, deadline_s=20)))
        while len(handle.responses) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [response.cancelled for response in handle.responses] == [True] * 3

    run(scenario)


class Flaky:
    """An image replica whose first answer is a failure that another try mends."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, request: ImageRequest, *_: Any) -> Answer[Any]:
        self.calls += 1
        if self.calls == 1:
            return Answer(GenerationFailure("out of memory", retryable=True), 0.1)
        return Answer(GeneratedImage(b"png", request.width, request.height), 0.1)


def test_a_retryable_failure_is_tried_again() -> None:
    async def scenario() -> None:
        replica = Flaky()
        found = await collect(backend(Handle(replica)).images(REQUESTS[:1], previews=0, deadline_s=20))
        assert isinstance(found[0][0].result, GeneratedImage)
        assert replica.calls == 2

    run(scenario)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_the_engine_says_of_a_request_reaches_the_route_as_it_was(transport: str) -> None:
    async def scenario() -> None:
        refusing = Handle(Raising(RequestRefused("prompts.engine: too long for the model's 2048 tokens"), transport))
        with pytest.raises(RequestRefused, match=r"^prompts\.engine: too long") as problem:
            await backend(text=refusing).complete(TextRequest((), 0), deadline_s=5)
        assert type(problem.value) is RequestRefused
        with pytest.raises(RequestRefused):
            await backend(agent=refusing).refine("a prompt", ["horse"], 1, deadline_s=5)
        # Who asks for prompts has given no text that could be refused.
        with pytest.raises(EngineUnavailable):
            await anext(backend(agent=refusing).find_prompts("horse", 1, 1, deadline_s=5))

    run(scenario)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", [UsageProblem, RunFailure])
def test_what_is_wrong_behind_an_engine_stays_in_the_log(
    kind: type[Exception], transport: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("synthseg.serving"), "propagate", True)  # an application in this process may have taken it over

    async def scenario() -> None:
        away = Handle(Raising(kind("prompts.base_url: nothing answers at http://10.0.0.7/v1"), transport))
        served = backend(text=away, agent=away)
        for call in (
            served.complete(TextRequest((), 0), deadline_s=5),
            anext(served.stream_text(TextRequest((), 0), deadline_s=5)),
            anext(served.find_prompts("horse", 1, 1, deadline_s=5)),
            served.refine("a prompt", ["horse"], 1, deadline_s=5),
        ):
            caplog.clear()
            with pytest.raises(EngineUnavailable) as refused:
                await call
            assert "10.0.0.7" not in str(refused.value)
            assert "10.0.0.7" in caplog.text

    run(scenario)


class Reporting:
    """The handle of a deployment whose replicas tell these statistics."""

    def __init__(self, *faults: str) -> None:
        self._found = [EngineStats(TEXT_ENGINE, str(i), 0, 0, 0, 0, 0.0, 8, fault) for i, fault in enumerate(faults)]

    def options(self, **_: Any) -> Reporting:
        return self

    def broadcast(self, method: str) -> Reporting:
        assert method == "stats"
        return self

    async def results_async(self, **_: Any) -> list[EngineStats]:
        return self._found


@pytest.mark.parametrize(
    ("faults", "state"), [(("",), "ready"), (("", "broken"), "ready"), (("broken", "broken"), "broken"), ((), "no replica answers")]
)
def test_ready_is_who_has_a_replica_that_works(faults: tuple[str, ...], state: str) -> None:
    async def scenario() -> None:
        well = Reporting("")
        found = await ServeBackend(CONFIG, Reporting(*faults), well, well).readiness()  # type: ignore[arg-type]
        assert found.parts[TEXT_ENGINE] == state
        assert found.ready == (state == "ready")

    run(scenario)


def test_texts_stream_and_end_with_the_reply() -> None:
    async def scenario() -> None:
        replica = TextReplica.func_or_class(CONFIG)
        served = backend(text=Handle(replica))
        request = TextRequest(({"role": "user", "content": "hello"},), seed=1)
        pieces = [piece async for piece in served.stream_text(request, deadline_s=20)]
        assert isinstance(pieces[-1], TextReply)
        assert pieces[-1] == await served.complete(request, deadline_s=20)

    run(scenario)


class Teller:
    """A text replica that says two pieces."""

    async def stream(self, request: TextRequest, *_: Any) -> AsyncIterator[str | Answer[TextReply]]:
        yield "one "
        yield "two"
        yield Answer(TextReply("one two", "stop", 1, 2), 0.1)


@pytest.mark.parametrize(("engine", "goes_on"), [("llama", True), ("vllm", False), ("openai", False)])
def test_a_text_that_may_come_out_differently_is_not_taken_up_by_another_replica(engine: str, goes_on: bool) -> None:
    settings = [f"prompts.engine={engine}", "prompts.model=m", "prompts.base_url=http://h/v1"]

    async def scenario() -> None:
        for after in (0, 1):
            handle = Handle(Teller(), [died()], after=after)
            served = ServeBackend(load_config("embedded", settings), handle, Handle(None), Handle(None))  # type: ignore[arg-type]
            told: list[Any] = []
            ends = pytest.raises(EngineUnavailable, match="was writing") if after and not goes_on else contextlib.nullcontext()
            with ends:
                async for piece in served.stream_text(TextRequest((), 0), deadline_s=20):
                    told.append(piece)
            assert told[:1] == ["one "]
            assert len(told) == (1 if after and not goes_on else 3)

    run(scenario)


class Finder:
    """A prompt agent that finds three prompts."""

    async def find(self, class_name: str, count: int, seed: int, *_: Any) -> AsyncIterator[FoundPrompt]:
        for number in range(count):
            yield FoundPrompt(f"{class_name} {seed} {number}", class_name, 0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(("engine", "goes_on"), [("llama", True), ("vllm", False), ("openai", False)])
def test_prompts_go_on_where_a_lost_agent_stopped_if_its_model_repeats_itself(engine: str, goes_on: bool) -> None:
    settings = [f"prompts.engine={engine}", "prompts.model=m", "prompts.base_url=http://h/v1"]

    async def scenario() -> None:
        agent = Handle(Finder(), [died()], after=2)
        served = ServeBackend(load_config("embedded", settings), Handle(None), Handle(None), agent)  # type: ignore[arg-type]
        found: list[str] = []
        with contextlib.nullcontext() if goes_on else pytest.raises(EngineUnavailable, match="was writing"):
            async for prompt in served.find_prompts("horse", 3, 7, deadline_s=20):
                found.append(prompt.text)
        assert found == ["horse 7 0", "horse 7 1", "horse 7 2"][: 3 if goes_on else 2]

    run(scenario)


@pytest.mark.parametrize(
    ("model", "model_id"),
    [
        ("", "diffusers"),
        ("org/repo", "org/repo"),
        ("/models/sd-1.5", "sd-1.5"),
        ("~/models/sd-1.5", "sd-1.5"),
        ("./sd-turbo", "sd-turbo"),
        ("/models/merge.v2.safetensors", "merge.v2"),
        ("org/repo/smol.gguf", "smol"),
    ],
)
def test_a_model_is_called_by_its_name_and_not_by_where_it_lies(model: str, model_id: str) -> None:
    assert _model_id(model, "diffusers") == model_id


class Asked:
    """A replica of any kind that never answers, and remembers for whom it was asked."""

    def __init__(self) -> None:
        self.tenants: list[str] = []

    async def answer(self, *arguments: Any) -> Any:
        self.tenants.append(arguments[-1])
        await asyncio.Event().wait()

    refine = answer

    async def stream(self, *arguments: Any) -> AsyncIterator[Any]:
        await self.answer(*arguments)
        yield

    find = stream


def test_the_engines_are_told_whose_request_it_is() -> None:
    async def scenario() -> None:
        asked = Asked()
        handle = Handle(asked)
        served = backend(handle, handle, handle)
        calls: list[Awaitable[Any]] = [
            collect(served.images(REQUESTS, previews=0, deadline_s=0.2, tenant="A")),
            collect(served.images(REQUESTS[:1], previews=1, deadline_s=0.2, tenant="B")),
            served.complete(TextRequest((), 0), deadline_s=0.2, tenant="C"),
            anext(served.stream_text(TextRequest((), 0), deadline_s=0.2, tenant="D")),
            anext(served.find_prompts("horse", 1, 1, deadline_s=0.2, tenant="E")),
            served.refine("a prompt", ["horse"], 1, deadline_s=0.2, tenant="F"),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceeded] * 6
        assert sorted(asked.tenants) == ["A", "A", "A", "B", "C", "D", "E", "F"]

    run(scenario)


def test_one_key_cannot_fill_the_way_to_the_replicas() -> None:
    """What it may not have there is refused before any of it is sent, so that no picture is painted for a request that fails."""

    async def scenario() -> None:
        asked = Asked()
        served = backend(Handle(asked))
        room = CONFIG.serving.image.max_ongoing_requests
        request = REQUESTS[0]

        async def ask(tenant: str, count: int) -> Any:
            return await collect(served.images([request] * count, previews=0, deadline_s=20, tenant=tenant))

        flood = [asyncio.create_task(ask("A", 10)) for _ in range(40)]
        await asyncio.sleep(0.05)
        refused = [task for task in flood if task.done()]
        assert all(isinstance(task.exception(), Overloaded) for task in refused)
        first = refused[0].exception()
        assert isinstance(first, Overloaded)
        assert (first.own, first.queued) == (True, len(asked.tenants))
        assert room / 2 - 10 < len(asked.tenants) <= room / 2
        assert len(asked.tenants) == 10 * (len(flood) - len(refused))
        lone = asyncio.create_task(ask("B", 10))
        await asyncio.sleep(0.05)
        assert asked.tenants.count("B") == 10
        for task in (*flood, lone):
            task.cancel()
        await asyncio.gather(*flood, lone, return_exceptions=True)
        again = asyncio.create_task(ask("A", 10))
        await asyncio.sleep(0.05)
        assert not again.done(), "what was given up is free again"
        again.cancel()

    run(scenario)


def test_without_keys_nobody_has_a_share() -> None:
    async def scenario() -> None:
        asked = Asked()
        served = backend(Handle(asked))
        count = CONFIG.serving.image.max_ongoing_requests + 10
        waiting = asyncio.create_task(collect(served.images(REQUESTS[:1] * count, previews=0, deadline_s=20)))
        await asyncio.sleep(0.05)
        assert len(asked.tenants) == count
        waiting.cancel()

    run(scenario)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_share_that_other_gateways_have_used_up_is_told_as_such(transport: str) -> None:
    async def scenario() -> None:
        with pytest.raises(Overloaded) as refused:
            await collect(backend(Handle(Raising(QueueFull(32, 7.5, own=True), transport))).images(REQUESTS[:1], previews=0, deadline_s=20))
        assert (refused.value.queued, refused.value.own) == (32, True)

    run(scenario)
