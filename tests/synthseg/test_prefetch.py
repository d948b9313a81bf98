from __future__ import annotations

import threading
import time

import pytest

from synthseg.prefetch import prefetched


def test_results_come_in_order_whatever_finishes_first() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * 2

    assert list(prefetched(slow_first, range(9), num_threads=4, ahead=3)) == [i * 2 for i in range(9)]


def test_work_goes_on_beside_the_consumer_by_a_bounded_amount() -> None:
    begun: list[int] = []
    third = threading.Event()

    def make(item: int) -> int:
        begun.append(item)
        if item == 2:
            third.set()
        return item

    found = prefetched(make, range(50), num_threads=2, ahead=2)
    assert next(found) == 0
    assert third.wait(5)
    time.sleep(0.05)
    assert len(begun) == 3
    assert list(found) == list(range(1, 50))


def test_an_error_is_raised_in_its_turn_and_ends_the_work() -> None:
    begun: list[int] = []

    def make(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("broken")
        return item

    found = prefetched(make, range(100), num_threads=1, ahead=2)
    assert next(found) == 0
    with pytest.raises(ValueError, match="broken"):
        next(found)
    assert len(begun) < 10


def test_one_item_is_made_in_the_callers_thread() -> None:
    assert list(prefetched(lambda _: threading.current_thread(), [0], 4, 2)) == [threading.current_thread()]
    assert list(prefetched(str, [], 4, 2)) == []
