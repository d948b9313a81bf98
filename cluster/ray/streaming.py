"""Runs one Ray Data stage over shards and hands its summaries out as they come; a stage that stalls ends the run.

A worker's errors travel as data: what Ray Data wraps around an exception loses the exception itself on the way.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import ray

from cluster.ray.compat import map_whole_blocks
from cluster.ray.own_process import own_process
from cluster.ray.packed import Packed
from synthseg.errors import CorruptData, DiskFull, RunFailure, SynthSegError, UsageProblem
from synthseg.machine import interrupt
from synthseg.machine.heartbeat import Watch
from synthseg.machine.sizing.placement import WORKER_CPUS
from synthseg.machine.stacks import collect
from synthseg.store.disk import disk_full, is_full
from synthseg.store.run_folder import RunFolder

_POLL_S = 1.0
"""How often a waiting driver looks whether Ctrl-C was pressed."""

StageWorker = Callable[[pa.Table], dict[str, Any]]
"""Built once a process from keyword arguments; turns a whole shard into a summary that JSON can hold."""


class _Guarded:
    """A stage worker as Ray Data calls it: its summary, or what it raised, as one row of JSON."""

    def __init__(self, packed: Packed[tuple[Callable[..., StageWorker], dict[str, Any]]]) -> None:
        self._worker: StageWorker | None = None
        try:
            worker, arguments = packed.unpack()
            self._worker = worker(**arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver reports it
            self._error = _describe(error)

    def __call__(self, shard: pa.Table) -> pa.Table:
        if self._worker is None:
            answer = self._error
        else:
            try:
                answer = {"summary": self._worker(shard)}
            except Exception as error:  # noqa: BLE001 - whatever it is, the driver reports it
                answer = _describe(error)
        return pa.table({"answer": [json.dumps(answer)]})


def _describe(error: Exception) -> dict[str, Any]:
    if is_full(error):
        error = disk_full(error)
    if isinstance(error, SynthSegError):
        return {"error": str(error), "kind": type(error).__name__}
    return {"error": f"{type(error).__name__}: {error}", "kind": "", "traceback": traceback.format_exc()}


_KINDS: dict[str, type[SynthSegError]] = {kind.__name__: kind for kind in (UsageProblem, RunFailure, DiskFull, CorruptData)}


def run_stage(
    worker: Callable[..., StageWorker],
    arguments: Mapping[str, Any],
    shards: Sequence[pa.Table],
    *,
    num_workers: int,
    num_gpus: float,
    stall_timeout_s: float,
    folder: RunFolder,
    stacks: Path,
    calls_per_worker: int = 1,
) -> Iterator[dict[str, Any]]:
    """Summaries of `worker` over `shards`, in order of finishing. A shard is one block: never split, never merged.

    A worker has `calls_per_worker` shards at once, each in a thread of its own: more than one where it mostly waits for others.

    What a worker raises is raised here in its own words. RunFailure also when for `stall_timeout_s` no shard finishes and
    no worker of this machine says by `synthseg.machine.stacks.beat` that it gets on;
    the stacks of this machine's workers are then in OUT/stacks.txt.
    """
    if not shards:
        return
    # Unlike from_arrow this starts no task, which would ask for a whole CPU and wait for ever where replicas left less.
    dataset = map_whole_blocks(
        ray.data.from_blocks(list(shards)),
        _Guarded,
        fn_constructor_kwargs={"packed": Packed((worker, dict(arguments)))},
        compute=ray.data.ActorPoolStrategy(
            size=min(num_workers, len(shards)),
            max_tasks_in_flight_per_actor=2 * calls_per_worker,
            max_concurrent_calls_per_actor=calls_per_worker,
            enable_true_multi_threading=True,
        ),
        num_cpus=WORKER_CPUS,
        num_gpus=num_gpus,
    )
    with own_process(_answers, dataset) as answers:
        while True:
            try:
                item = _next(answers, stall_timeout_s, stacks)
            except TimeoutError:
                folder.files.write("stacks.txt", collect(stacks).encode())
                folder.event("stalled", seconds=stall_timeout_s)
                raise RunFailure(
                    f"stalled: no shard finished for {stall_timeout_s:.0f} s; the stacks are in {folder.files.path('stacks.txt')}; "
                    "the same command resumes"
                ) from None
            if item is None:
                return
            if "error" in item:
                if item["kind"]:
                    raise _KINDS[item["kind"]](item["error"])
                folder.event("worker_error", error=item["error"], traceback=item["traceback"])
                raise RunFailure(f"{item['error']} (the traceback is in {folder.files.path('events.jsonl')})")
            yield item["summary"]


def _next(answers: ray.ObjectRefGenerator[dict[str, Any]], timeout_s: float, stacks: Path) -> dict[str, Any] | None:
    """The next answer, None when there are no more. TimeoutError after `timeout_s` without a sign of life from a worker here,
    KeyboardInterrupt when one was asked for.
    """
    watch = Watch(stacks)
    while not ray.wait([answers], timeout=min(_POLL_S, timeout_s))[0]:
        interrupt.check()
        if watch.quiet_s() > timeout_s:
            raise TimeoutError
    interrupt.check()
    try:
        answer: dict[str, Any] = ray.get(next(answers))
        return answer
    except StopIteration:
        return None
    except ray.exceptions.RayError as error:
        return _broken(error)


def _answers(dataset: ray.data.Dataset) -> Iterator[dict[str, Any]]:
    """What the workers answer, as it comes; what Ray Data raises instead ends it as their failure would."""
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for answer in cast(pa.Table, batch).column("answer").to_pylist():
                yield json.loads(answer)
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver raises it
        yield _broken(error)


def _broken(error: Exception) -> dict[str, Any]:
    if is_full(error):
        return _describe(error)
    return _describe(RunFailure(f"ray: {str(error).strip().splitlines()[-1]}; the same command resumes"))
