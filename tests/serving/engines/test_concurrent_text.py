"""The replica interface of engines that batch for themselves, without Serve around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from serving.engines.concurrent_text import ConcurrentText, Lanes
from serving.engines.endpoint_replica import EndpointReplica
from serving.engines.fair_queue import QueueFull
from serving.engines.replicas import TEXT_ENGINE, Answer
from synthseg.config.loading import load_config
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import UsageProblem
from tests.synthseg.engines.endpoint import Endpoint, Fault, endpoint


def chat(content: str, seed: int = 1) -> TextRequest:
    return TextRequest(({"role": "user", "content": content},), seed=seed)


class Gated(ConcurrentText):
    """Answers a request with its words once `gate` is open."""

    def __init__(self, num_lanes: int = 4, max_held: int = 0) -> None:
        self.lanes = Lanes(num_lanes, max_held)
        self.engine_digest = "gated"
        self.gate = asyncio.Event()
        self.left = 0

    async def complete_one(self, request: TextRequest) -> TextReply:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return TextReply(request.messages[0]["content"], "stop", 1, 1)

    async def tell_one(self, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        for piece in request.messages[0]["content"].split():
            yield piece
            await self.gate.wait()
        yield await self.complete_one(request)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_all_requests_are_in_the_engine_at_once_and_answered_in_order() -> None:
    async def scenario() -> None:
        replica = Gated()
        asked = asyncio.create_task(replica.generate([chat(f"text {i}") for i in range(6)]))
        await settle()
        stats = await replica.stats()
        assert (stats.deployment, stats.running, stats.queued, stats.max_batch_size) == (TEXT_ENGINE, 4, 2, 4)
        replica.gate.set()
        assert [reply.text for reply in await asked] == [f"text {i}" for i in range(6)]
        stats = await replica.stats()
        assert (stats.running, stats.queued, stats.requests) == (0, 0, 6)

    asyncio.run(scenario())


def test_time_is_shared_among_those_that_ran_together() -> None:
    async def scenario() -> None:
        replica = Gated(num_lanes=4)
        answers = [asyncio.create_task(replica.answer(chat("x"), 5)) for _ in range(4)]
        await asyncio.sleep(0.2)
        replica.gate.set()
        total = sum(answer.engine_s for answer in await asyncio.gather(*answers))
        assert 0.2 * 0.8 < total < 0.2 * 2.5
        assert (await replica.stats()).engine_s == pytest.approx(total)

    asyncio.run(scenario())


def test_too_many_are_refused_at_once() -> None:
    async def scenario() -> None:
        replica = Gated(max_held=2)
        held = [asyncio.create_task(replica.answer(chat("x"), 5)) for _ in range(2)]
        await settle()
        with pytest.raises(QueueFull):
            await replica.answer(chat("y"), 5)
        with pytest.raises(QueueFull):
            await anext(aiter(replica.stream(chat("y"), 5)))
        replica.gate.set()
        await asyncio.gather(*held)
        assert (await replica.answer(chat("y"), 5)).result.text == "y"

    asyncio.run(scenario())


def test_a_deadline_gives_the_work_up() -> None:
    async def scenario() -> None:
        replica = Gated()
        with pytest.raises(TimeoutError):
            await replica.answer(chat("x"), 0.02)
        assert replica.left == 1
        with pytest.raises(TimeoutError):
            async for _ in replica.stream(chat("a b"), 0.02):
                pass
        assert (await replica.stats()).running == 0

    asyncio.run(scenario())


def test_silence_is_measured_only_while_there_is_work() -> None:
    async def scenario() -> None:
        replica = Gated()
        await asyncio.sleep(0.05)
        assert replica.lanes.silent_s() == 0
        asked = asyncio.create_task(replica.answer(chat("x"), 5))
        await settle()
        await asyncio.sleep(0.05)
        assert 0.04 < replica.lanes.silent_s() < 2
        replica.lanes.progress()
        assert replica.lanes.silent_s() < 0.04
        replica.gate.set()
        await asked
        assert replica.lanes.silent_s() == 0

    asyncio.run(scenario())


def endpoint_replica(server: Endpoint, **limits: Any) -> Any:
    config = load_config("embedded", ["prompts.engine=openai", "prompts.model=small", f"prompts.base_url={server.url}"])
    return EndpointReplica.func_or_class(config, **limits)


def test_an_endpoint_is_asked_like_any_text_replica() -> None:
    async def scenario(server: Endpoint) -> None:
        replica = endpoint_replica(server)
        replies = await replica.generate([chat("a", 1), chat("b", 2)])
        assert [reply.text for reply in replies] == ["a 1", "b 2"]
        answer = await replica.answer(chat("c", 3), 5)
        assert answer.result.text == "c 3"
        pieces = [piece async for piece in replica.stream(chat("a long story", 4), 5)]
        assert isinstance(pieces[-1], Answer)
        assert "".join(pieces[:-1]) == pieces[-1].result.text == "a long story 4"
        server.faults = [Fault(404, {"error": {"message": "gone"}})]
        with pytest.raises(UsageProblem, match=r"prompts\.model: .* answered 404 for 'small' \(gone\)"):
            await replica.answer(chat("d"), 5)
        assert len(await replica.digest()) == 24

    with endpoint(lambda body: f"{body['messages'][-1]['content']} {body['seed']}") as server:
        asyncio.run(scenario(server))


def test_a_silent_endpoint_is_asked_for_a_token_and_what_is_wrong_is_told_without_its_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("synthseg.serving"), "propagate", True)  # an application in this process may have taken it over

    async def scenario(server: Endpoint) -> None:
        replica = endpoint_replica(server)
        assert (await replica.stats()).fault == "starting"
        await replica.check_health()
        assert (await replica.stats()).fault == ""
        assert [body["max_tokens"] for body in server.bodies] == [1]
        await replica.check_health()
        assert len(server.bodies) == 1, "it has just shown that it works"
        server.faults = [Fault(401, {"error": {"message": "no key"}})]
        replica._next_probe = 0.0
        await replica.check_health()
        assert (await replica.stats()).fault == "its endpoint gives no text"
        assert "answered 401 (no key)" in caplog.text
        await replica.answer(chat("a"), 5)
        assert (await replica.stats()).fault == ""

    with endpoint(lambda _: "hello") as server:
        asyncio.run(scenario(server))


def test_every_request_is_told_of_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a replica's node count, and they may be set right without a new replica."""

    async def scenario(server: Endpoint) -> None:
        replica = endpoint_replica(server)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,[::1]")
        for _ in range(2):
            with pytest.raises(UsageProblem, match=r"^NO_PROXY: '\[::1\]' cannot be read"):
                await replica.answer(chat("a"), 5)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,::1")
        assert (await replica.answer(chat("a"), 5)).result.text == "hello"

    with endpoint(lambda _: "hello") as server:
        asyncio.run(scenario(server))


async def laned(replica: Gated, *texts: str) -> list[asyncio.Task[Answer[TextReply]]]:
    """Requests such as "A0" of key A, sent in this order."""
    asked = [asyncio.create_task(replica.answer(chat(text), 5, text[0])) for text in texts]
    await settle()
    return asked


def test_keys_take_turns_for_the_lanes() -> None:
    async def scenario() -> list[str]:
        replica, order = Gated(num_lanes=1), []
        asked = await laned(replica, *(f"A{i}" for i in range(5)), "B0", "B1")
        for task in asked:
            task.add_done_callback(lambda task: order.append(task.result().result.text))
        replica.gate.set()
        await asyncio.gather(*asked)
        return order

    assert asyncio.run(scenario()) == ["A0", "B0", "A1", "B1", "A2", "A3", "A4"]


def test_a_lane_is_not_lost_with_one_who_leaves() -> None:
    async def scenario() -> None:
        replica = Gated(num_lanes=1)
        asked = await laned(replica, "A0", "A1", "A2")
        asked[1].cancel()  # while it waits
        await settle()
        assert (await replica.stats()).queued == 1
        asked[0].cancel()  # while it runs, and while the next one is being told that it is its turn
        await asyncio.sleep(0)
        asked[2].cancel()
        await settle()
        stats = await replica.stats()
        assert (stats.running, stats.queued) == (0, 0)
        replica.gate.set()
        assert (await replica.answer(chat("B0"), 5)).result.text == "B0"

    asyncio.run(scenario())


def test_a_key_holds_no_more_than_it_leaves_free() -> None:
    async def scenario() -> None:
        replica = Gated(num_lanes=1, max_held=6)
        asked = await laned(replica, "A0", "A1", "A2")
        with pytest.raises(QueueFull) as full:
            await replica.answer(chat("A3"), 5, "A")
        assert (full.value.queued, full.value.own) == (3, True)
        asked += await laned(replica, "B0")
        replica.gate.set()
        assert (await asyncio.gather(*asked))[-1].result.text == "B0"

    asyncio.run(scenario())


def test_those_who_give_up_do_not_hide_an_engine_that_hangs() -> None:
    """Each one leaves long before the engine counts as silent; together they tell of it."""

    async def scenario() -> None:
        replica = Gated()
        for _ in range(4):
            with pytest.raises(TimeoutError):
                await replica.answer(chat("x"), 0.05)
        assert 0.15 < replica.lanes.silent_s() < 2
        replica.gate.set()
        await replica.answer(chat("x"), 5)
        assert replica.lanes.silent_s() == 0

    asyncio.run(scenario())
