"""Deploys the engine replicas of a run and hands out handles to them."""

from __future__ import annotations

import logging
import os

from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.handle import DeploymentHandle

from serving.replicas import ImageReplica, TextReplica
from synthseg.config.schema import RunConfig

REPLICA_CPUS = 0.25
"""Logical CPUs a replica asks for. A replica computes on one thread; two kinds, each `workers` times, fit two CPUs."""


def deploy_engines(config: RunConfig, *, text: bool, image: bool) -> None:
    """Start the replicas that the run still needs and wait until each has built its engine."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location=ProxyLocation.Disabled, logging_config={"log_level": "WARNING", "enable_access_log": False})
    options = {
        "num_replicas": config.execution.workers,
        "max_ongoing_requests": 4 * config.execution.max_in_flight,
        "ray_actor_options": {
            "num_cpus": REPLICA_CPUS,
            "num_gpus": config.execution.num_gpus_per_replica,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}},
        },
    }
    if text:
        serve.run(TextReplica.options(**options).bind(config), name=text_app(config), route_prefix=None)
    if image:
        serve.run(ImageReplica.options(**options).bind(config), name=image_app(config), route_prefix=None)


def text_app(config: RunConfig) -> str:
    """Serve application of a run's text replicas. Two runs on one cluster share them only if they generate alike."""
    return f"synthseg-text-{config.generation_fingerprint()[:8]}"


def image_app(config: RunConfig) -> str:
    """Serve application of a run's image replicas."""
    return f"synthseg-image-{config.generation_fingerprint()[:8]}"


def text_handle(config: RunConfig) -> DeploymentHandle:
    """Handle to the text replicas; works in the driver, in Ray Data workers and in other replicas."""
    return serve.get_app_handle(text_app(config))


def image_handle(config: RunConfig) -> DeploymentHandle:
    """Handle to the image replicas."""
    return serve.get_app_handle(image_app(config))


def release(app: str) -> None:
    """Take an app's replicas down so that later stages have their memory and CPUs."""
    serve.delete(app)
