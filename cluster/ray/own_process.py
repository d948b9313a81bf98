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

_ANSWER_S = 10.0
"""A process that waits answers at once."""


class _Process:
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def iterate(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        for item in function(*arguments):  # noqa: UP028 - Ray calls send(), which `yield from` hands on
            yield item


_waiting: dict[str, Any] = {}
"""By Ray session, the handle of the process whose last call has ended well. It has imported what the next call needs: seconds of a core."""


@contextmanager
def own_process(function: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """The reference of `function(*arguments)`, which runs on this node and takes no logical CPU; of a generator, Ray's generator of
    references.

    The block ends when the call has. When it raises instead, the process is killed, and with it the tasks and actors that it started.
    """
    session = _session()
    process = _waiting_process(session) or _new_process()
    try:
        run = process.iterate if inspect.isgeneratorfunction(function) else process.call
        yield run.remote(function, *arguments)
    except BaseException:
        # ray.cancel of a task that ends at that moment aborts the driver ("Tried to complete task that was not pending").
        ray.kill(process)
        raise
    _waiting[session] = process


def _new_process() -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(_Process).options(num_cpus=0, scheduling_strategy=here).remote()


def _waiting_process(session: str) -> Any:
    """The handle of the one that waits, if it still lives, else None."""
    process = _waiting.pop(session, None)
    _waiting.clear()  # those of sessions that are over
    if process is not None:
        try:
            ray.get(process.call.remote(bool), timeout=_ANSWER_S)
        except ray.exceptions.RayError:
            ray.kill(process)
        else:
            return process
    return None


def _session() -> str:
    """This driver's connection to this cluster."""
    context = ray.get_runtime_context()
    return f"{context.gcs_address} {context.get_job_id()}"
