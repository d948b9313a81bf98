"""One group of data-parallel workers on Ray Train, the same way for every model of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer

from synthseg.errors import RunFailure
from synthseg.store.disk import disk_full, is_full

CPUS_PER_WORKER = 0.5
"""Logical CPUs a training worker asks for: half of one, so that `workers` of them fit `workers` CPUs beside the run's other actors."""


def train_workers(
    name: str, worker: Callable[[dict[str, Any]], None], settings: Mapping[str, Any], out_dir: Path, num_workers: int
) -> None:
    """Run `worker(settings)` on `num_workers` workers and wait for all; each has a GPU where the cluster has enough of them.

    What the training leaves, the workers write themselves: Ray's own files below `out_dir` go in the end. Needs a Ray cluster
    that is up. RunFailure, named after `name`, when a worker fails, DiskFull when it had no space to write.
    """
    scratch = out_dir / "ray"
    use_gpu = ray.cluster_resources().get("GPU", 0) >= num_workers
    trainer = TorchTrainer(
        worker,
        train_loop_config=dict(settings),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=num_workers, use_gpu=use_gpu, resources_per_worker={"CPU": CPUS_PER_WORKER, **({"GPU": 1} if use_gpu else {})}
        ),
        run_config=train.RunConfig(name=name, storage_path=str(scratch)),
    )
    # Ray's own files of a killed training would make it look for checkpoints that are not Ray's.
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        trainer.fit()
    except train.TrainingFailedError as error:
        failures = [*getattr(error, "worker_failures", {}).values(), error]
        if full := next((failure for failure in failures if is_full(failure)), None):
            raise disk_full(full, str(out_dir)) from error
        raise RunFailure(f"{name} training failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
