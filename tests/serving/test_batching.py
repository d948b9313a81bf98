from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving.batching import DrainBatcher


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


@pytest.mark.parametrize("max_batch_size", [1, 3])
def test_batches_never_exceed_the_limit(max_batch_size: int) -> None:
    async def scenario() -> Gate:
        gate = Gate()
        gate.open.set()
        batcher: DrainBatcher[str, str] = DrainBatcher(gate, max_batch_size=max_batch_size)
        await asyncio.gather(*(batcher.submit(str(i)) for i in range(10)))
        return gate

    assert max(len(batch) for batch in asyncio.run(scenario()).batches) <= max_batch_size
