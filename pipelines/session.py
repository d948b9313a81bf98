"""The Ray session of one run: joins a cluster or starts a small one here, quietly, and cleans up after itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import ray
from ray import serve

from cluster.ray.start import cluster_room, start_ray, stop_ray, unheard
from serving.deploy.build import image_app, text_app
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.machine.sizing.placement import num_cpus, stage_shortage
from synthseg.stages import Stage

_ENVIRONMENT = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process that tells workers of a coming preemption, which ours do not ask for
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # also how long a training that has ended is taken to go on
}


@contextmanager
def ray_session(config: RunConfig, *, verbose: bool) -> Iterator[None]:
    """Ray for the duration of a run. Shuts down only what it started. RunFailure when the cluster cannot be reached."""
    address = config.execution.address
    joined = ray.is_initialized()
    if not joined:
        start_ray(
            address,
            num_cpus(config),
            dashboard=False,
            verbose=verbose,
            patience_s=config.execution.stall_timeout_s,
            way_out="the same command resumes",
            environment=_ENVIRONMENT,
        )
    _configure_data(verbose)
    try:
        with nullcontext() if verbose else unheard():
            yield
    finally:
        if joined or address:
            for app in (text_app(config), image_app(config)):
                if app in serve.status().applications:
                    serve.delete(app)
        if not joined:
            stop_ray()


def check_room(config: RunConfig, stage: Stage) -> None:
    """UsageProblem when the cluster can never hold at once what `stage` takes; Ray would have its workers wait for ever."""
    if problem := stage_shortage(config, stage, cluster_room()):
        raise UsageProblem(problem)


def _configure_data(verbose: bool) -> None:
    """The Ray Data settings that this project depends on, set in one place because their defaults move between versions."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.verbose_progress = False
    context.execution_options.preserve_order = False
    context.max_errored_blocks = 0
    context.wait_for_min_actors_s = 600
    context.enable_rich_progress_bars = False
    context.print_on_execution_start = verbose
    for name in ("ray.data", "ray.train", "ray.serve", "ray.tune"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
