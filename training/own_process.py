"""What blocks inside Ray, in a Ray process of its own that can be killed.

`TorchTrainer.fit` and the iteration of a Ray dataset wait for their workers without end. A thread that waits so outlives whoever gave it
up, and one that is still inside Ray at `ray.shutdown` ends the whole process with exit status 1 or a segmentation fault
(ray-project/ray#31145). So the driver keeps no such thread: it waits for an actor, with a timeout, and kills it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class _Process:
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def iterate(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        for item in function(*arguments):  # noqa: UP028 - Ray calls send(), which `yield from` hands on
            yield item


@contextmanager
def own_process(function: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """The reference of `function(*arguments)`, which runs on this node and takes no logical CPU; of a generator, Ray's generator of
    references.

    When the block ends, the process is killed, and with it the tasks and actors that it started.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    process = ray.remote(_Process).options(num_cpus=0, scheduling_strategy=here).remote()
    try:
        run = process.iterate if inspect.isgeneratorfunction(function) else process.call
        yield run.remote(function, *arguments)
    finally:
        # ray.cancel of a task that ends at that moment aborts the driver ("Tried to complete task that was not pending").
        ray.kill(process)
