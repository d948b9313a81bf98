from __future__ import annotations

from collections.abc import Sequence

import pytest

from synthseg.engines.splitting import SplittingCaller


def caller() -> tuple[SplittingCaller[int, int], list[str]]:
    freed: list[str] = []
    return SplittingCaller(lambda e: isinstance(e, MemoryError), lambda e: isinstance(e, KeyError), lambda: freed.append("")), freed


@pytest.mark.parametrize("num_requests", [1, 2, 5, 8])
@pytest.mark.parametrize("poisoned", [(), (0,), (4,), (1, 7)])
def test_results_stay_in_order_and_only_poison_fails(num_requests: int, poisoned: tuple[int, ...]) -> None:
    def call(batch: Sequence[int]) -> list[int]:
        if set(poisoned) & set(batch):
            raise ValueError(str(batch))
        return [10 * each for each in batch]

    results = caller()[0].run("kind", range(num_requests), call)
    assert [isinstance(result, ValueError) for result in results] == [i in poisoned for i in range(num_requests)]
    assert [result for result in results if isinstance(result, int)] == [10 * i for i in range(num_requests) if i not in poisoned]


def test_what_fits_is_remembered_by_kind_and_memory_is_freed_before_each_new_try() -> None:
    run, freed = caller()
    sizes: list[int] = []

    def call(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise MemoryError
        return list(batch)

    assert run.run("large", range(8), call) == list(range(8))
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert len(freed) == 3
    assert (run.fitting("large"), run.fitting("small")) == (2, None)
    sizes.clear()
    assert run.run("large", range(8), call) == list(range(8))
    assert sizes == [2, 2, 2, 2]
    sizes.clear()
    run.run("small", range(3), call)
    assert sizes == [3]


def test_a_fatal_error_is_raised() -> None:
    def call(batch: Sequence[int]) -> list[int]:
        raise KeyError(batch)

    with pytest.raises(KeyError):
        caller()[0].run("kind", range(4), call)


def test_the_failed_call_holds_nothing() -> None:
    def call(batch: Sequence[int]) -> list[int]:
        raise ValueError

    (error,) = caller()[0].run("kind", [1], call)
    assert isinstance(error, ValueError)
    assert error.__traceback__ is None
