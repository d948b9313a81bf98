"""Work ahead of a consumer, in threads, by a bounded amount."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetched(make: Callable[[Item], Made], items: Sequence[Item], num_threads: int, ahead: int) -> Iterator[Made]:
    """`make(item)` of each item, in order; while one is consumed, at most the next `ahead` are made or held.

    What `make` raises is raised when its turn comes; what has not begun by then is dropped. A single item costs no thread.
    """
    if len(items) < 2 or ahead < 1:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(min(num_threads, ahead, len(items)), thread_name_prefix="prefetch") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
