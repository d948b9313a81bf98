"""The replica classes without Serve around them, on the real engines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from serving.engines.fair_queue import QueueFull
from serving.engines.health import EngineDead
from serving.engines.replicas import Answer, ImageReplica, TextReplica, _warm_up_request
from synthseg.config.loading import load_config
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.llama.engine import LlamaEngine
from synthseg.engines.text import IsWanted, OnPiece, TextReply, TextRequest

CONFIG = load_config("embedded", ["prompts.engine=template"])
REQUEST = TextRequest(({"role": "user", "content": "Tell me about horses."},), seed=1, max_tokens=40)


def image_replica(**limits: int) -> Any:
    return ImageReplica.func_or_class(CONFIG, **limits)


def requests(count: int, side: int = 64) -> list[ImageRequest]:
    prompts = ("a red car on a street", "two horses in a meadow", "a cat on a sofa", "a boat on the sea at dusk")
    return [ImageRequest(prompts[i % len(prompts)], seed=i, width=side, height=side) for i in range(count)]


def test_a_batch_of_8_equals_8_batches_of_1_byte_for_byte() -> None:
    async def scenario() -> None:
        alone, together = image_replica(max_batch_size=1), image_replica(max_batch_size=8)
        wanted = requests(8)
        one_by_one = [(await alone.answer(request, 60)).result for request in wanted]
        assert await together.generate(wanted) == one_by_one
        assert [(await replica.stats()).batches for replica in (alone, together)] == [8, 1]
        assert one_by_one == PainterEngine().generate(wanted)

    asyncio.run(scenario())


def test_previews_come_first_and_change_nothing() -> None:
    async def scenario() -> None:
        replica = image_replica()
        (request,) = requests(1)
        shown = [piece async for piece in replica.stream(request, 2, 60)]
        assert [type(piece) for piece in shown] == [GeneratedImage, Answer]
        assert shown[1].result == (await replica.answer(request, 60)).result
        assert shown[1].engine_s > 0
        assert shown[0].encoded != shown[1].result.encoded

    asyncio.run(scenario())


def test_a_prompt_that_cannot_be_painted_fails_alone() -> None:
    async def scenario() -> None:
        results = await image_replica().generate([*requests(2), ImageRequest("xyzzy", 0, 64, 64)])
        assert [isinstance(result, GenerationFailure) for result in results] == [False, False, True]

    asyncio.run(scenario())


def test_pixels_cap_a_batch() -> None:
    async def scenario() -> None:
        replica = image_replica(max_batch_size=8, max_batch_pixels=2 * 64 * 64)
        await replica.generate(requests(7))
        stats = await replica.stats()
        assert stats.requests == 7
        assert stats.batches == 4  # of 2, 2, 2 and 1

    asyncio.run(scenario())


def test_a_text_is_told_in_pieces_and_one_who_leaves_frees_the_engine() -> None:
    async def scenario() -> None:
        replica = TextReplica.func_or_class(load_config("embedded"))
        request = TextRequest(({"role": "user", "content": "Tell me about horses."},), seed=1, max_tokens=40)
        pieces = [piece async for piece in replica.stream(request, 100)]
        assert isinstance(pieces[-1], Answer)
        assert len(pieces) > 3
        assert "".join(pieces[:-1]) == pieces[-1].result.text
        assert pieces[-1].result == LlamaEngine().generate([request])[0]
        endless = TextRequest(request.messages, seed=1, max_tokens=1500)
        stream = replica.stream(endless, 100)
        await anext(stream)
        await stream.aclose()
        leaver = asyncio.create_task(replica.answer(endless, 100))
        await asyncio.sleep(0.5)
        leaver.cancel()
        short = TextRequest(request.messages, seed=1, max_tokens=1)
        # Both endless texts were given up: at over 100 ms a token on a busy machine their 1500 tokens would take minutes.
        assert isinstance((await replica.answer(short, 30)).result, TextReply)

    asyncio.run(scenario())


class Broken:
    """An image engine that dies after its warm-up."""

    digest = "broken"

    def __init__(self) -> None:
        self.calls = 0

    def generate(self, requests: Sequence[ImageRequest]) -> list[Any]:
        self.calls += 1
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_an_engine_that_fails_even_the_canary_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[EngineDead] = []
    monkeypatch.setattr("serving.engines.replicas.exit_process", died.append)

    async def scenario() -> None:
        replica = image_replica()
        await replica.check_health()
        replica._engine = Broken()
        with pytest.raises(RuntimeError, match="CUDA"):
            await replica.answer(requests(1)[0], 10)
        await replica.check_health()

    asyncio.run(scenario())
    assert "illegal memory access" in str(died[0])


def test_an_engine_that_only_refused_one_request_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.engines.replicas.exit_process", lambda reason: pytest.fail(str(reason)))

    async def scenario() -> None:
        replica = image_replica()
        healthy, replica._engine = replica._engine, Broken()
        with pytest.raises(RuntimeError):
            await replica.answer(requests(1)[0], 10)
        replica._engine = healthy
        await replica.check_health()
        assert replica._batcher.last_error is None

    asyncio.run(scenario())


def test_an_engine_that_has_no_room_for_the_canary_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.engines.replicas.exit_process", lambda reason: pytest.fail(str(reason)))

    async def scenario() -> None:
        replica = image_replica(max_batch_size=1, max_queued=1)
        replica._batcher.last_error = RuntimeError("one bad request")
        waiting = asyncio.create_task(replica.answer(requests(1)[0], 60))
        await asyncio.sleep(0)
        await replica.check_health()
        assert replica._batcher.stats.refused == 1
        await waiting

    asyncio.run(scenario())


class Held(PainterEngine):
    """A painter that counts what it begins and waits inside its first picture until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.inside, self.go = threading.Event(), threading.Event()

    def _paint(self, request: ImageRequest) -> GeneratedImage | GenerationFailure:
        self.begun += 1
        self.inside.set()
        assert self.go.wait(30)
        return super()._paint(request)


@pytest.mark.parametrize("how", ["leaves", "leaves a stream", "deadline"])
def test_pictures_nobody_waits_for_are_left_out_of_a_batch_under_way(how: str) -> None:
    async def scenario() -> None:
        replica = image_replica(max_batch_size=8)
        replica._engine = engine = Held()

        async def ask(request: ImageRequest) -> None:
            if how == "leaves a stream":
                async for _ in replica.stream(request, 0, 60):
                    pass
            else:
                await replica.answer(request, 0.2 if how == "deadline" else 60)

        asked = [asyncio.create_task(ask(request)) for request in requests(7)]
        stays = asyncio.create_task(replica.answer(ImageRequest("a red car", 9, 64, 64), 60))
        await asyncio.to_thread(engine.inside.wait, 30)
        if how != "deadline":
            for task in asked:
                task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        engine.go.set()
        assert (await stays).result == PainterEngine().generate([ImageRequest("a red car", 9, 64, 64)])[0]
        assert engine.begun <= 2, "the one under way when they left, and the one that is waited for"

    asyncio.run(scenario())


def test_an_engine_call_that_never_ends_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[EngineDead] = []
    monkeypatch.setattr("serving.engines.replicas.exit_process", died.append)

    async def scenario() -> None:
        replica = image_replica()
        monkeypatch.setattr(replica._batcher, "silent_s", lambda: CONFIG.execution.stall_timeout_s + 1)
        await replica.check_health()

    asyncio.run(scenario())
    assert "in one call" in str(died[0])


def test_a_full_replica_refuses_at_once() -> None:
    async def scenario() -> None:
        replica = image_replica(max_batch_size=1, max_queued=2)
        results = await asyncio.gather(*(replica.answer(request, 60) for request in requests(4)), return_exceptions=True)
        # Nothing has reached the engine yet when the third one comes.
        assert [type(result) for result in results] == [Answer, Answer, QueueFull, QueueFull]

    asyncio.run(scenario())


def test_a_diffusion_model_warms_up_at_its_own_size_with_few_steps() -> None:
    settings = ["images.engine=diffusers", "images.model=some/model", "images.width=768", "images.height=512"]
    warm_up = _warm_up_request(load_config("embedded", [*settings, "images.parameters={steps=30, guidance_scale=6.0}"]))
    assert (warm_up.width, warm_up.height, warm_up.parameters) == (768, 512, {"steps": 4, "guidance_scale": 6.0})
    one_step = _warm_up_request(load_config("embedded", [*settings, "images.parameters={steps=1}"]))
    assert one_step.parameters == {"steps": 1}
    painted = _warm_up_request(CONFIG)
    assert (painted.width, painted.height) == (64, 64)


class Deaf:
    """A language model that says nothing and hears nothing until `go`, inside a call that cannot be ended."""

    digest = "deaf"

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        return [self.stream(request, lambda _: True) for request in requests]

    def stream(self, request: TextRequest, on_piece: OnPiece, is_wanted: IsWanted = lambda: True) -> TextReply:
        self.inside.set()
        assert self.go.wait(30)
        is_wanted()
        return TextReply("", "stop", 1, 0)


@pytest.mark.parametrize("how", ["deadline", "leaves", "leaves a stream"])
def test_a_model_that_goes_on_for_nobody_is_not_ready_and_is_replaced(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[EngineDead] = []
    monkeypatch.setattr("serving.engines.replicas.exit_process", died.append)
    monkeypatch.setattr("synthseg.engines.registry.build_text_engine", lambda _: engine)
    engine = Deaf()
    engine.go.set()

    async def ask(replica: Any) -> None:
        if how == "leaves a stream":
            async for _ in replica.stream(REQUEST, 60):
                pass
        else:
            await replica.answer(REQUEST, 0.1 if how == "deadline" else 60)

    async def scenario() -> None:
        replica = TextReplica.func_or_class(load_config("embedded", ["serving.give_up_s=0.3"]))
        engine.go.clear()
        engine.inside.clear()
        asked = asyncio.create_task(ask(replica))
        await asyncio.to_thread(engine.inside.wait, 30)
        await replica.check_health()
        assert (await replica.stats()).fault == "", "somebody may be waiting for a slow engine"
        if how != "deadline":
            asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await replica.check_health()
        assert not died, "it may be about to hear"
        while not (fault := (await replica.stats()).fault):
            await asyncio.sleep(0.01)
        assert fault.startswith("the engine goes on with what was given up")
        await replica.check_health()
        assert len(died) == 1
        engine.go.set()
        await replica.answer(REQUEST, 5)
        assert (await replica.stats()).fault == ""

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_model_that_gives_no_sign_of_life_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[EngineDead] = []
    monkeypatch.setattr("serving.engines.replicas.exit_process", died.append)
    monkeypatch.setattr("synthseg.engines.registry.build_text_engine", lambda _: engine)
    engine = Deaf()
    engine.go.set()

    async def scenario() -> None:
        replica = TextReplica.func_or_class(load_config("embedded", ["execution.stall_timeout_s=0.2"]))
        engine.go.clear()
        asked = asyncio.create_task(replica.answer(REQUEST, 60))
        while not (fault := (await replica.stats()).fault):
            await asyncio.sleep(0.01)
        assert fault.startswith("the engine has given no sign of life in one call for")
        await replica.check_health()
        assert len(died) == 1
        engine.go.set()
        await asked

    asyncio.run(asyncio.wait_for(scenario(), 30))
