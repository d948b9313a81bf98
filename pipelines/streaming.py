"""Runs one Ray Data stage over shards and hands its summaries out as they come; a stage that stalls ends the run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from pipelines.session import STAGE_WORKER_CPUS
from pipelines.stacks import collect
from synthseg.errors import RunFailure, SynthSegError
from synthseg.store.run_folder import RunFolder

_END = object()


def run_stage(
    worker: type,
    arguments: Mapping[str, Any],
    shards: Sequence[pa.Table],
    *,
    num_workers: int,
    num_gpus: float,
    stall_timeout_s: float,
    folder: RunFolder,
    stacks: Path,
) -> Iterator[dict[str, Any]]:
    """Summaries (one mapping a finished shard, in order of finishing) of `worker` over `shards`.

    `worker` is a class for `map_batches`: built once a process with `arguments`, called with a whole shard (one block,
    never split or merged) and returning a table with one row. RunFailure when no shard finishes for
    `stall_timeout_s`; the stacks of this machine's workers are then in OUT/stacks.txt.
    """
    if not shards:
        return
    dataset = ray.data.from_arrow(list(shards)).map_batches(
        worker,
        fn_constructor_kwargs=dict(arguments),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(num_workers, len(shards)), max_tasks_in_flight_per_actor=2),
        num_cpus=STAGE_WORKER_CPUS,
        num_gpus=num_gpus,
    )
    finished: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_consume, args=(dataset, finished), name="stage", daemon=True).start()
    while True:
        try:
            item = finished.get(timeout=stall_timeout_s)
        except queue.Empty:
            folder.files.write("stacks.txt", collect(stacks).encode())
            folder.event("stalled", seconds=stall_timeout_s)
            raise RunFailure(
                f"stalled: no shard finished for {stall_timeout_s:.0f} s; the stacks are in {folder.files.path('stacks.txt')}; "
                "the same command resumes"
            ) from None
        if item is _END:
            return
        if isinstance(item, BaseException):
            raise _root_cause(item)
        yield item


def _consume(dataset: ray.data.Dataset, finished: queue.Queue[Any]) -> None:
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                finished.put(row)
    except BaseException as error:  # noqa: BLE001 - handed to the driver's thread, which raises it
        finished.put(error)
        return
    finished.put(_END)


def _root_cause(error: BaseException) -> BaseException:
    """The project's own error inside whatever Ray wrapped around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SynthSegError):
            return seen
        inner = getattr(seen, "cause", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return error
