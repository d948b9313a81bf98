"""One call for many requests that must not fail together: halve what fails, until what is at fault stands alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class SplittingCaller(Generic[Request, Result]):
    """Calls a model with as many requests at once as work.

    A batch that runs out of memory is halved, and batches of its `kind` stay that small from then on. A batch that raises anything else is
    halved too, so a poisoned request fails alone. Fatal errors, after which nothing will work, are raised.
    """

    def __init__(
        self,
        is_out_of_memory: Callable[[BaseException], bool],
        is_fatal: Callable[[BaseException], bool],
        free_memory: Callable[[], None],
    ) -> None:
        self._is_out_of_memory = is_out_of_memory
        self._is_fatal = is_fatal
        self._free_memory = free_memory
        self._fitting: dict[Hashable, int] = {}

    def run(
        self, kind: Hashable, requests: Sequence[Request], call: Callable[[Sequence[Request]], Sequence[Result]]
    ) -> list[Result | Exception]:
        """A result of `call` or the error of each request, in order."""
        most = self._fitting.get(kind, len(requests))
        results: list[Result | Exception] = []
        for start in range(0, len(requests), max(most, 1)):
            results += self._run(kind, requests[start : start + most], call)
        return results

    def fitting(self, kind: Hashable) -> int | None:
        """How many requests of `kind` fit the memory at once, once a larger batch did not; None before."""
        return self._fitting.get(kind)

    def _run(
        self, kind: Hashable, requests: Sequence[Request], call: Callable[[Sequence[Request]], Sequence[Result]]
    ) -> list[Result | Exception]:
        failed: Exception
        try:
            return list(call(requests))
        except Exception as error:
            if self._is_fatal(error):
                raise
            # The traceback holds the tensors of the failed call; without it their memory is free again.
            failed = error.with_traceback(None)
            failed.__context__ = None
        self._free_memory()
        if len(requests) == 1:
            return [failed]
        half = len(requests) // 2
        if self._is_out_of_memory(failed):
            self._fitting[kind] = min(self._fitting.get(kind, half), half)
        return [*self._run(kind, requests[:half], call), *self._run(kind, requests[half:], call)]
