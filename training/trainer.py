"""One group of data-parallel workers on Ray Train, the same way for every model of a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.ray.compat import DIED_WORDS, LOST_WORKER_ERRORS, NO_ROOM_ERROR
from cluster.ray.own_process import own_process
from cluster.ray.packed import Packed
from synthseg.errors import RunFailure
from synthseg.machine import interrupt
from synthseg.machine.heartbeat import Watch, forget
from synthseg.machine.stacks import collect, register
from synthseg.machine.whole_file import sweep
from synthseg.store.disk import disk_full, is_full
from training.loop import told_precisions

CPUS_PER_WORKER = 0.5
"""Logical CPUs a training worker asks for: half of one, so that `workers` of them fit `workers` CPUs beside the run's other actors."""
_START_S = 120.0
"""What workers that have found room may take to start, beside `stall_timeout_s`."""
_RAISED = "error raised in its creation task"
"""Ray's words for an actor that raised as it began; its error has the type of one that is gone."""
_POLL_S = 1.0
"""How often a waiting driver looks for signs of life; Ctrl-C is heard at once."""


def train_workers(
    name: str,
    worker: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    out_dir: Path,
    num_workers: int,
    *,
    stall_timeout_s: float,
    stacks: Path,
) -> tuple[str, ...]:
    """Run `worker(settings)` on `num_workers` workers and wait for all; each has a GPU where the cluster has enough of them.
    What they computed in, as they said in `training.loop.begin`.

    What the training leaves, the workers write themselves: Ray's own files below `out_dir` go in the end. Needs a Ray cluster
    that is up. RunFailure, named after `name`, when a worker fails, when the cluster has no room for the workers, or when none of
    them calls `training.loop.beat` for `stall_timeout_s` (the stacks of this machine's workers, which register in `stacks`, are then
    in OUT_DIR/stacks.txt); DiskFull when a worker had no space to write.
    """
    scratch = out_dir / "ray"
    use_gpu = ray.cluster_resources().get("GPU", 0) >= num_workers
    trainer = TorchTrainer(
        _Registered(worker, stacks),
        train_loop_config=dict(settings),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=num_workers, use_gpu=use_gpu, resources_per_worker={"CPU": CPUS_PER_WORKER, **({"GPU": 1} if use_gpu else {})}
        ),
        run_config=train.RunConfig(
            name=name,
            storage_path=str(scratch),
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg] # those of Ray AIR are typed
        ),
    )
    # Ray's own files of a killed training would make it look for checkpoints that are not Ray's.
    shutil.rmtree(scratch, ignore_errors=True)
    sweep(out_dir)
    forget(out_dir)
    try:
        with own_process(_fit, trainer, stall_timeout_s) as fitted:
            _wait(name, fitted, out_dir, stall_timeout_s, stacks)
        return told_precisions(out_dir)
    except (train.TrainingFailedError, ray.exceptions.RayError) as error:
        failures = _failures(error)
        if any(type(failure).__name__ == NO_ROOM_ERROR for failure in failures):
            room = f"{CPUS_PER_WORKER} CPU{' and a GPU' if use_gpu else ''}"
            raise RunFailure(
                f"stalled: the cluster had no room for {num_workers} {name} workers of {room} for {stall_timeout_s:.0f} s; "
                "free some or lower execution.workers; the same command resumes"
            ) from error
        if full := next((failure for failure in failures if is_full(failure)), None):
            raise disk_full(full, str(out_dir)) from error
        raise RunFailure(f"{name} training failed: {_reason(error, failures)}; the same command resumes") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        forget(out_dir)


def _failures(error: Exception) -> list[Exception]:
    """All that tells of what went wrong: what each worker raised, what the controller met, `error` itself, and their causes."""
    # A worker that dies early is lost to the controller, or to the call that waits for it, before Ray Train looks after it.
    found = [*getattr(error, "worker_failures", {}).values(), getattr(error, "controller_failure", None), error]
    found += [getattr(failure, "cause", None) for failure in found]
    return [failure for failure in found if failure is not None]


def _reason(error: Exception, failures: Sequence[Exception]) -> str:
    """What went wrong, in one line and without Ray's advice about its own logs; `failures` are those of `error`."""
    if any(map(_is_loss, failures)) or DIED_WORDS in str(error):  # Ray Train may keep the text alone
        return "a worker is gone (killed, out of memory, or its machine lost)"
    return str(error).strip().splitlines()[-1]


def _is_loss(failure: Exception) -> bool:
    """Whether it tells of a process that is gone, and not of one that raised something as it began."""
    if isinstance(failure, ray.exceptions.RayActorError):
        return _RAISED not in str(failure)
    return type(failure).__name__ in LOST_WORKER_ERRORS


class _Registered:
    """A training worker whose stacks can be asked for."""

    def __init__(self, worker: Callable[[dict[str, Any]], None], stacks: Path) -> None:
        self._worker, self._stacks = Packed(worker), stacks

    def __call__(self, settings: dict[str, Any]) -> None:
        register(self._stacks)
        self._worker.unpack()(settings)


def _fit(trainer: TorchTrainer, start_timeout_s: float) -> train.TrainingFailedError | None:
    """Train; what Ray Train says went wrong is returned as it is, for Ray would wrap what is raised."""
    # Ray would try for ever to find room for the workers.
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(start_timeout_s)
    try:
        trainer.fit()
    except train.TrainingFailedError as error:
        return error
    return None


def _wait(name: str, fitted: ray.ObjectRef[train.TrainingFailedError | None], out_dir: Path, stall_timeout_s: float, stacks: Path) -> None:
    """Wait for `_fit` and raise what it returned, or RunFailure when the workers show no sign of life any more."""
    watch = Watch(out_dir)
    while not ray.wait([fitted], timeout=min(_POLL_S, stall_timeout_s))[0]:
        interrupt.check()
        quiet_s = watch.quiet_s()
        # Ray itself ends a start that finds no room, and says why: leave it the time to.
        patience_s = stall_timeout_s if watch.heard else stall_timeout_s + _START_S
        if quiet_s > patience_s:
            (out_dir / "stacks.txt").write_text(collect(stacks), encoding="utf-8")
            raise RunFailure(
                f"stalled: {name} training made no step for {patience_s:.0f} s; the stacks are in {out_dir / 'stacks.txt'}; "
                "the same command resumes"
            )
    if error := ray.get(fitted):
        raise error
