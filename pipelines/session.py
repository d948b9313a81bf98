"""The Ray session of one run: joins a cluster or starts a small one here, quietly, and cleans up after itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ray
from ray import serve

from serving.build import image_app, text_app
from synthseg.config.schema import RunConfig
from synthseg.errors import RunFailure

STAGE_WORKER_CPUS = 0.25
"""Logical CPUs of a Ray Data worker. With `workers` replicas of 0.25 and the driver's own work this fits `workers` CPUs."""

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_SERVE_ENABLE_TASK_EVENTS": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
}
"""One thread a process: two single-thread processes beat one with two by a factor on small CPUs."""


@contextmanager
def ray_session(config: RunConfig, *, verbose: bool) -> Iterator[None]:
    """Ray for the duration of a run. Shuts down only what it started. RunFailure when the cluster cannot be reached."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    level = logging.INFO if verbose else logging.ERROR
    address = config.execution.address
    joined = ray.is_initialized()
    if not joined:
        if not address:
            # Ray Train asks a State API whether its controller lives. A cluster without dashboard has none; left alone, Ray finds
            # that of another cluster on this machine, which knows no such controller, and removes the workers.
            os.environ.setdefault("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
        try:
            with nullcontext() if verbose else _muted():
                ray.init(
                    address=address or "local",
                    num_cpus=None if address else max(config.execution.workers, os.cpu_count() or 1),
                    include_dashboard=None if address else False,
                    logging_level=level,
                    log_to_driver=verbose,
                    runtime_env={"env_vars": _ENVIRONMENT},
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RunFailure(f"execution.address: Ray at '{address or 'this machine'}' did not start ({error})") from error
    _configure_data(verbose)
    try:
        yield
    finally:
        if joined or address:
            for app in (text_app(config), image_app(config)):
                if app in serve.status().applications:
                    serve.delete(app)
        if not joined:
            ray.shutdown()


@contextmanager
def _muted() -> Iterator[None]:
    """Drops what native code writes to stderr: Ray's core announces its own log level there, whatever that level is."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


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
