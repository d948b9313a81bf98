"""Every private corner of Ray that this project uses, and why. Nothing else here imports what Ray calls private.

Written for Ray 2.60.0. `tests/cluster/ray/test_compat.py` names the version, so that an upgrade looks at each of these first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ray import _raylet
from ray._private import parameter, ray_constants, utils
from ray._private import services as _services
from ray._private.state import state
from ray._private.worker import global_worker

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.serve.handle import DeploymentHandle

# The start of a Ray of one's own (start.py, signals.py, patience.py, loopback.py) replaces functions of these modules for as long as
# `ray.init` takes: it sets signal handlers without a switch (ray-project/ray#17308, #64830), waits for 30 s without one (#50474, #62883),
# and listens on all interfaces (#55259).
__all__ = ["ray_constants", "raylet", "services", "utils"]

raylet: Any = _raylet  # no types: it is compiled
services: Any = _services  # its functions have few

NO_ROOM_ERROR = "WorkerGroupStartupTimeoutError"
"""What Ray Train, in a private module, says where the cluster has no room for the workers (ray-project/ray#60376)."""
LOST_WORKER_ERRORS = ("WorkerHealthCheckFailedError", "WorkerHealthCheckTimeoutError")
"""What Ray Train, in a private module, calls a worker that no longer answers (ray-project/ray#55222)."""
DIED_WORDS = "The actor is dead because its worker process has died"
"""Ray's words for a process that is gone, where an error keeps the text alone."""


def map_whole_blocks(dataset: Dataset, worker: type, **options: Any) -> Dataset:
    """`Dataset.map_batches` of a class over whole blocks, on GPUs as well: the public method refuses them there, and with a batch size it
    puts blocks together (ray-project/ray#45201).
    """
    mapped: Dataset = dataset.map_batches_internal(worker, batch_size=None, batch_format="pyarrow", **options)
    return mapped


def by_reference(handle: DeploymentHandle[Any], *, on: bool) -> DeploymentHandle[Any]:
    """The handle with its calls through Ray's object store (`on`) or by gRPC. By itself it keeps the transport that its process had chosen
    when that imported Ray Serve (ray-project/ray#59908).
    """
    return handle.options(_by_reference=on)


def max_resources() -> dict[str, float]:
    """What the cluster's autoscaler says that it can grow to; nothing where there is none. `ray.cluster_resources` tells what is up."""
    return dict(state.get_max_resources_from_cluster_config() or {})


def own_node() -> Any:
    """The node that this process has started (`ray._private.node.Node`), with its processes."""
    return global_worker.node


def grpc_servers() -> ModuleType:
    """Where Serve's replicas, whose address is fixed to "[::]", open their gRPC servers (`add_port_to_grpc_server`)."""
    from ray._common import tls_utils

    module: ModuleType = tls_utils
    return module


@contextmanager
def any_agent_port() -> Iterator[None]:
    """Around `ray.init(include_dashboard=True, ...)`: the dashboard agent's port is chosen by the system.

    The agent runs submitted jobs. Its port is fixed (52365) and `ray.init`, unlike `ray start`, has no argument for it; on a machine that
    has a second cluster the agent then cannot listen, and every job is refused with "No available agent" (ray-project/ray#34886).
    """
    with replaced(parameter, "RayParams", partial(parameter.RayParams, dashboard_agent_listen_port=0)):
        yield


@contextmanager
def replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """Around the block `module.name` is `value`."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
