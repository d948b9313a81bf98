"""Starting Ray, the same way for a batch run and for the server: quietly, one thread a process, joined to nothing by accident."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import MappingProxyType

import ray
from ray.exceptions import RaySystemError

from cluster.ray.auth import require_token
from cluster.ray.compat import max_resources, own_node
from cluster.ray.loopback import node_on_loopback
from cluster.ray.patience import not_up, patient
from cluster.ray.signals import signals_kept
from cluster.ray.watch import Watch, processes_of
from synthseg.errors import RunFailure

_NOTHING: Mapping[str, str] = MappingProxyType({})
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_SERVE_ENABLE_TASK_EVENTS": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),  # else an answer of ten large images is too long
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
}
"""One thread a process: two single-thread processes beat one with two by a factor on small CPUs. Requests go between Serve's processes
by gRPC and run on the event loop that received them, which costs a fifth less CPU a request; nothing of ours blocks that loop."""


_watches: list[Watch] = []
_OWN = {"worker_process_setup_hook": "cluster.ray.loopback.listen_on_loopback"}


def start_ray(
    address: str,
    num_cpus: int,
    *,
    dashboard: bool,
    verbose: bool,
    patience_s: float,
    way_out: str,
    environment: Mapping[str, str] = _NOTHING,
    actors_environment: Mapping[str, str] = _NOTHING,
) -> None:
    """Join the cluster at `address`, or with "" start one of `num_cpus` logical CPUs here. RunFailure when that does not work.

    `environment` is added to the variables that this process and all of the cluster's get, `actors_environment` to those of the tasks and
    actors of this process, and of no job that the cluster is given. Its parts have `patience_s` to start. Ray is then watched until
    `stop_ray`: when it dies, the process ends with one line that closes with `way_out`.
    """
    variables = {**_ENVIRONMENT, **environment}
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    if not address and not dashboard:
        # Ray Train and Serve ask a State API about their actors. A cluster without dashboard has none; left alone, Ray finds that of
        # another cluster on this machine, which knows no such actor, and Train removes its workers.
        os.environ.setdefault("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    if not address:
        require_token()
    started = time.monotonic()
    try:
        with nullcontext() if verbose else muted(), _batch_scheduling(), signals_kept(), nullcontext() if address else _own(patience_s):
            ray.init(
                address=address or "local",
                num_cpus=None if address else max(num_cpus, os.cpu_count() or 1),
                include_dashboard=None if address else dashboard,
                logging_level=logging.INFO if verbose else logging.ERROR,
                log_to_driver=verbose,
                runtime_env={"env_vars": {**variables, **actors_environment}, **({} if address else _OWN)},
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not address and time.monotonic() - started > patience_s:
            raise RunFailure(not_up(patience_s)) from error
        raise RunFailure(f"execution.address: Ray at '{address or 'this machine'}' did not start ({error})") from error
    _watch(address, way_out)


def stop_ray() -> None:
    """Leave Ray, and end it where `start_ray` has started it."""
    while _watches:
        _watches.pop().stop()
    ray.shutdown()


def _watch(address: str, way_out: str) -> None:
    watch = Watch(way_out)
    if not address:
        watch.own(processes_of(own_node()))
    elif not address.startswith("ray://"):  # a Ray Client finds out by itself
        watch.joined(ray.get_runtime_context().gcs_address)
    _watches.append(watch)
    # Before Ray's own, which ends its processes at the interpreter's end.
    atexit.register(watch.stop)


@contextmanager
def _own(patience_s: float) -> Iterator[None]:
    with node_on_loopback(), patient(patience_s):
        yield


def cluster_room() -> dict[str, float]:
    """Resources that the cluster has in all, or can grow to where an autoscaler says so."""
    room = dict(ray.cluster_resources())
    try:
        most = max_resources()
    except RaySystemError:  # Ray Client does not know of autoscalers
        most = {}
    return room | {name: max(room.get(name, 0.0), amount) for name, amount in most.items()}


@contextmanager
def _batch_scheduling() -> Iterator[None]:
    """What is started inside, and all it starts, runs under Linux's SCHED_BATCH (sched(7)): a process that wakes does not interrupt the
    one that computes. Where engines and the processes that feed them share few cores, that keeps the engines computing.
    """
    try:
        before = os.sched_getscheduler(0)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not on Linux, or a sandbox forbids it
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))


@contextmanager
def muted() -> Iterator[None]:
    """Drops what native code and Ray's helpers write to stderr: Ray's core announces its own log level there, whatever that level is."""
    kept = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def unheard() -> Iterator[None]:
    """Drops what Ray's threads print to standard output: eight lines for each worker that dies, those we end ourselves included."""
    with Path(os.devnull).open("w", encoding="utf-8") as sink, redirect_stdout(sink):
        yield
