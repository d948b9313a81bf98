from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from serving.engines.batching import DrainBatcher
from serving.engines.fair_queue import QueueFull


class Gate:
    """An engine that waits to be let through, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, requests: Sequence[str]) -> list[str]:
        self.batches.append(list(requests))
        self.open.wait(5)
        if "poison" in requests:
            raise ValueError("poison")
        return [request.upper() for request in requests]


async def started(gate: Gate) -> None:
    while not gate.batches:
        await asyncio.sleep(0.001)


def test_a_lone_request_goes_at_once_and_the_rest_fill_a_batch() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=4)
        first = asyncio.create_task(batcher.submit("a"))
        await started(gate)
        rest = [asyncio.create_task(batcher.submit(c)) for c in "bcdef"]
        await asyncio.sleep(0.01)
        gate.open.set()
        assert await asyncio.gather(first, *rest) == list("ABCDEF")
        return gate.batches

    assert asyncio.run(scenario()) == [["a"], ["b", "c", "d", "e"], ["f"]]


def test_groups_never_mix_and_take_turns() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=2, group=lambda request: request[0])
        first = asyncio.create_task(batcher.submit("a0"))
        await started(gate)
        rest = [asyncio.create_task(batcher.submit(c)) for c in ("a1", "a2", "a3", "b1", "a4")]
        await asyncio.sleep(0.01)
        gate.open.set()
        await asyncio.gather(first, *rest)
        return gate.batches

    assert asyncio.run(scenario()) == [["a0"], ["a1", "a2"], ["b1"], ["a3", "a4"]]


def test_a_caller_that_left_is_dropped_before_the_batch_forms() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=4)
        first = asyncio.create_task(batcher.submit("a"))
        await started(gate)
        gone, stays = asyncio.create_task(batcher.submit("b")), asyncio.create_task(batcher.submit("c"))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        gate.open.set()
        assert await asyncio.gather(first, stays) == ["A", "C"]
        assert batcher.stats.queued == 0
        return gate.batches

    assert asyncio.run(scenario()) == [["a"], ["c"]]


def test_a_poisoned_request_hurts_only_itself() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=8)
        results = await asyncio.gather(*(batcher.submit(r) for r in ("a", "poison", "b", "c")), return_exceptions=True)
        assert [r if isinstance(r, str) else str(r) for r in results] == ["A", "poison", "B", "C"]
        assert await batcher.submit("d") == "D"

    asyncio.run(scenario())


def test_the_batcher_starts_again_after_it_ran_dry() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=8)
        for letter in "abc":
            assert await asyncio.wait_for(batcher.submit(letter), 5) == letter.upper()

    asyncio.run(scenario())


@pytest.mark.parametrize("raised", [SystemExit(3), StopIteration()])
def test_what_no_future_can_carry_is_an_error_and_the_engine_works_on(raised: BaseException) -> None:
    def engine(requests: Sequence[str]) -> Sequence[str]:
        if requests == ["bad"]:
            raise raised
        return requests

    async def scenario() -> None:
        batcher: DrainBatcher[str, str] = DrainBatcher(engine, max_batch_size=8)
        with pytest.raises(RuntimeError, match=type(raised).__name__):
            await asyncio.wait_for(batcher.submit("bad"), 5)
        assert await asyncio.wait_for(batcher.submit("good"), 5) == "good"

    asyncio.run(scenario())


def test_the_next_batch_starts_while_the_loop_is_busy() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1)
        both = [asyncio.create_task(batcher.submit(letter)) for letter in "ab"]
        await started(gate)
        gate.open.set()
        deadline = time.monotonic() + 5
        while len(gate.batches) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)  # holds the loop
        seen = list(gate.batches)
        await asyncio.gather(*both)
        return seen

    assert asyncio.run(scenario()) == [["a"], ["b"]]


@pytest.mark.parametrize("max_batch_size", [1, 3])
def test_batches_never_exceed_the_limit(max_batch_size: int) -> None:
    async def scenario() -> Gate:
        gate = Gate()
        gate.open.set()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=max_batch_size)
        await asyncio.gather(*(batcher.submit(str(i)) for i in range(10)))
        return gate

    assert max(len(batch) for batch in asyncio.run(scenario()).batches) <= max_batch_size


def test_no_group_starves_while_another_keeps_coming() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=2, group=lambda request: request[0])
        waiting = [asyncio.create_task(batcher.submit("a0"))]
        await started(gate)
        waiting += [asyncio.create_task(batcher.submit(f"a{i}")) for i in range(1, 9)]
        waiting += [asyncio.create_task(batcher.submit(r)) for r in ("b0", "c0")]
        await asyncio.sleep(0.01)
        gate.open.set()
        await asyncio.gather(*waiting)
        return gate.batches

    batches = asyncio.run(scenario())
    assert batches[1:4] == [["a1", "a2"], ["b0"], ["c0"]]
    assert [r for batch in batches for r in batch if r[0] == "a"] == [f"a{i}" for i in range(9)]


def test_a_batch_is_capped_by_cost_in_order_and_one_that_is_over_the_cap_alone_still_runs() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=8, cost=len, max_batch_cost=4)
        first = asyncio.create_task(batcher.submit("x"))
        await started(gate)
        rest = [asyncio.create_task(batcher.submit(r)) for r in ("aa", "bb", "c", "dddddd", "e")]
        await asyncio.sleep(0.01)
        gate.open.set()
        await asyncio.gather(first, *rest)
        return gate.batches

    assert asyncio.run(scenario()) == [["x"], ["aa", "bb"], ["c"], ["dddddd"], ["e"]]


def test_a_full_queue_refuses_with_its_depth_and_the_wait_to_expect() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1, max_queued=2)
        gate.open.set()
        await batcher.submit("pace")
        gate.open.clear()
        waiting = [asyncio.create_task(batcher.submit("a"))]
        while len(gate.batches) < 2:
            await asyncio.sleep(0.001)
        waiting += [asyncio.create_task(batcher.submit(r)) for r in "bc"]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull) as full:
            await batcher.submit("d")
        assert full.value.queued == 2
        assert full.value.wait_s > 0
        assert batcher.stats.refused == 1
        gate.open.set()
        assert await asyncio.gather(*waiting) == ["A", "B", "C"]
        assert await batcher.submit("e") == "E"

    asyncio.run(scenario())


def test_a_cancelled_request_makes_room_at_once() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1, max_queued=1)
        first = asyncio.create_task(batcher.submit("a"))
        await started(gate)
        gone = asyncio.create_task(batcher.submit("b"))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        assert (batcher.stats.queued, batcher.stats.left) == (0, 1)
        stays = asyncio.create_task(batcher.submit("c"))
        await asyncio.sleep(0.01)
        gate.open.set()
        assert await asyncio.gather(first, stays) == ["A", "C"]

    asyncio.run(scenario())


def test_a_deadline_drops_a_waiting_request_and_the_engine_never_sees_it() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=4)
        first = asyncio.create_task(batcher.submit("a"))
        await started(gate)
        with pytest.raises(TimeoutError):
            await batcher.submit("late", deadline_s=0.02)
        assert batcher.stats.queued == 0
        gate.open.set()
        await first
        assert await batcher.submit("b", deadline_s=5) == "B"
        return gate.batches

    assert asyncio.run(scenario()) == [["a"], ["b"]]


def test_a_caller_that_leaves_while_the_engine_works_hurts_nobody_else_in_its_batch() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=4)
        first = asyncio.create_task(batcher.submit("a"))
        await started(gate)
        gone, stays = asyncio.create_task(batcher.submit("b")), asyncio.create_task(batcher.submit("c"))
        await asyncio.sleep(0.01)
        gate.open.set()
        while len(gate.batches) < 2:
            await asyncio.sleep(0)
        gone.cancel()
        assert await asyncio.gather(first, stays) == ["A", "C"]
        assert batcher.stats.running == 0

    asyncio.run(scenario())


def test_health_shows_in_silent_seconds_and_the_last_error() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1)
        assert batcher.silent_s() == 0
        first = asyncio.create_task(batcher.submit("poison"))
        await started(gate)
        await asyncio.sleep(0.01)
        assert batcher.silent_s() > 0
        gate.open.set()
        with pytest.raises(ValueError, match="poison"):
            await first
        assert isinstance(batcher.last_error, ValueError)
        await batcher.submit("a")
        assert batcher.last_error is None
        assert batcher.silent_s() == 0
        assert batcher.stats.engine_seconds > 0

    asyncio.run(scenario())


def test_an_engine_that_loses_replies_is_an_error_and_not_a_hang() -> None:
    async def scenario() -> None:
        batcher: DrainBatcher[str, str] = DrainBatcher(lambda requests: requests[1:], max_batch_size=4)
        with pytest.raises(RuntimeError, match="0 replies to 1"):
            await asyncio.wait_for(batcher.submit("a"), 5)

    asyncio.run(scenario())


async def flooded(gate: Gate, batcher: DrainBatcher[str, str], *floods: str) -> list[asyncio.Task[str]]:
    """Requests such as "A0" of key A in the batcher, the first of them in the engine."""
    waiting = [asyncio.create_task(batcher.submit(floods[0], tenant=floods[0][0]))]
    await started(gate)
    waiting += [asyncio.create_task(batcher.submit(request, tenant=request[0])) for request in floods[1:]]
    await asyncio.sleep(0)
    return waiting


@pytest.mark.parametrize("num_groups", [1, 3, 40])
@pytest.mark.parametrize("lone_group", [0, 99])
def test_a_lone_request_beside_a_flood_stays_under_three_batches(num_groups: int, lone_group: int) -> None:
    """However many sizes the other key asks for, the lone key's request is in the next batch but the one that runs."""

    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=8, group=lambda request: int(request[1:]) % 100)
        waiting = await flooded(gate, batcher, *(f"A{100 * i + i % num_groups}" for i in range(400)))
        waiting.append(asyncio.create_task(batcher.submit(f"B{lone_group}", tenant="B")))
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(*waiting)
        return gate.batches

    batches = asyncio.run(scenario())
    assert [number for number, batch in enumerate(batches, 1) if f"B{lone_group}" in batch] == [2]
    assert sum(len(batch) for batch in batches) == 401


def test_a_key_that_comes_back_each_time_takes_turns_with_the_flood() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1)
        waiting = await flooded(gate, batcher, *(f"A{i}" for i in range(6)))
        waiting += [asyncio.create_task(batcher.submit(f"B{i}", tenant="B")) for i in range(2)]
        waiting += [asyncio.create_task(batcher.submit("C0", tenant="C"))]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(*waiting)
        return gate.batches

    assert [batch[0] for batch in asyncio.run(scenario())] == ["A0", "B0", "C0", "A1", "B1", "A2", "A3", "A4", "A5"]


def test_the_places_of_a_batch_are_dealt_out_among_the_keys() -> None:
    async def scenario() -> list[list[str]]:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=4)
        waiting = await flooded(gate, batcher, "A0", *(f"A{i}" for i in range(1, 8)), *(f"B{i}" for i in range(4)))
        gate.open.set()
        await asyncio.gather(*waiting)
        return gate.batches

    assert asyncio.run(scenario()) == [["A0"], ["B0", "A1", "B1", "A2"], ["A3", "B2", "A4", "B3"], ["A5", "A6", "A7"]]


def test_a_key_has_no_more_of_the_queue_than_it_leaves_free() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1, max_queued=12)
        waiting = await flooded(gate, batcher, *(f"A{i}" for i in range(7)))  # one in the engine, six in the queue
        with pytest.raises(QueueFull) as full:
            await batcher.submit("A7", tenant="A")
        assert (full.value.queued, full.value.own) == (6, True)
        waiting += [asyncio.create_task(batcher.submit(f"B{i}", tenant="B")) for i in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as full:
            await batcher.submit("B3", tenant="B")
        assert (full.value.queued, full.value.own) == (3, True)
        newcomer = asyncio.create_task(batcher.submit("C0", tenant="C"))
        gate.open.set()
        assert await newcomer == "C0"
        await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_work_of_no_key_may_fill_the_queue() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=1, max_queued=4)
        waiting = [asyncio.create_task(batcher.submit("a"))]
        await started(gate)
        waiting += [asyncio.create_task(batcher.submit(letter)) for letter in "bcde"]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as full:
            await batcher.submit("f")
        assert (full.value.queued, full.value.own) == (4, False)
        gate.open.set()
        await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_what_nobody_waits_for_is_told_from_what_somebody_waits_for() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=2)
        gone, stays = asyncio.create_task(batcher.submit("a")), asyncio.create_task(batcher.submit("b"))
        await started(gate)
        assert gate.batches == [["a", "b"]]
        gone.cancel()
        await asyncio.sleep(0.01)
        assert batcher.unwanted_s() == 0
        stays.cancel()
        await asyncio.sleep(0.01)
        assert batcher.unwanted_s() > 0
        batcher.progress()
        assert batcher.unwanted_s() < 0.01, "an engine that says something may yet hear that it is not wanted"
        gate.open.set()
        while batcher.stats.running:
            await asyncio.sleep(0)
        assert (batcher.unwanted_s(), batcher.silent_s()) == (0, 0)

    asyncio.run(scenario())
