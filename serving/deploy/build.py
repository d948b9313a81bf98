"""What is deployed: the engine replicas of a run with handles to them, and the HTTP application of `synthseg serve`."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, cast

import ray
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import BackpressureConfig, ProxyLocation
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview

from serving.engines.replicas import ImageReplica, TextReplica
from serving.http.request_id import SERVE_HOOK
from synthseg.config.loading import load_config
from synthseg.config.schema import RunConfig
from synthseg.config.serving import DeploymentConfig
from synthseg.errors import RunFailure, UsageProblem
from synthseg.machine.sizing.placement import Deployment as DeploymentName
from synthseg.machine.sizing.placement import deployment_gpus, stage_wishes
from synthseg.stages import Stage

_POLL_S = 0.1
_DEPLOY_FAILED = ApplicationStatus.DEPLOY_FAILED.value
"""Of a deployment as of an application."""
_IN_HAND = 4
"""Requests that a replica holds which answers one at a time. Serve gives the next one to whichever replica has room first, while one that
may hold many stands idle beside another's queue.
"""


def deploy_engines(config: RunConfig, *, text: bool, image: bool) -> None:
    """Start the replicas that the run still needs and wait until each has built its engine.

    RunFailure when an engine cannot be built, or when the replicas are not up after `execution.stall_timeout_s`.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location=ProxyLocation.Disabled, logging_config={"log_level": "WARNING", "enable_access_log": False})
    apps: dict[str, Application] = {}
    needs: dict[str, Mapping[str, float]] = {}
    if text:
        needs[text_app(config)] = stage_wishes(config, Stage.prompts)[0].each
        apps[text_app(config)] = text_application(config, _text_options(config, needs[text_app(config)]))
    if image:
        needs[image_app(config)] = stage_wishes(config, Stage.images)[0].each
        apps[image_app(config)] = _deployment(ImageReplica).options(**_batch_options(config, needs[image_app(config)])).bind(config)
    targets = [serve.RunTarget(app, name=name, route_prefix=None) for name, app in apps.items()]
    serve.run_many(targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    _wait_until_running(needs, config)


def _text_options(config: RunConfig, needs: Mapping[str, float]) -> dict[str, Any]:
    options = _batch_options(config, needs)
    return {**options, "max_ongoing_requests": _IN_HAND} if config.prompts.engine == "llama" else options


def _batch_options(config: RunConfig, needs: Mapping[str, float]) -> dict[str, Any]:
    """Serve's options for the replicas of a run that need `needs` each."""
    return {
        "num_replicas": config.execution.workers,
        "max_ongoing_requests": 4 * config.execution.max_in_flight,
        # A replica that is taken down has nothing left to do; the stage after it waits for its CPUs.
        "graceful_shutdown_wait_loop_s": 0.1,
        "ray_actor_options": {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0.0), "runtime_env": _runtime_env()},
    }


def text_application(config: RunConfig, options: dict[str, Any], *, max_batch_size: int = 8, max_queued: int = 0) -> Application:
    """The replicas of `prompts.engine` under Serve's `options`. They answer to the interface of `TextReplica`, whichever engine it is."""
    if config.prompts.engine == "vllm":
        from serving.engines.vllm_replica import vllm_application

        return vllm_application(config, options, max_queued)
    if config.prompts.engine == "openai":
        from serving.engines.endpoint_replica import EndpointReplica

        return _deployment(EndpointReplica).options(**options).bind(config, max_queued)
    return _deployment(TextReplica).options(**options).bind(config, max_batch_size, max_queued)


def _wait_until_running(needs: Mapping[str, Mapping[str, float]], config: RunConfig) -> None:
    """Serve itself would wait for ever for room that the cluster does not have."""
    limit_s = config.execution.stall_timeout_s
    deadline = time.monotonic() + limit_s
    while True:
        found = serve.status().applications
        waiting = [app for app in needs if app not in found or found[app].status != ApplicationStatus.RUNNING]
        if not waiting:
            return
        if failed := next((app for app in waiting if app in found and found[app].status == ApplicationStatus.DEPLOY_FAILED), None):
            raise RunFailure(f"serve: {failed} did not start ({_reason(found[failed])})")
        if time.monotonic() > deadline:
            need = needs[waiting[0]]
            free = {name: round(ray.available_resources().get(name, 0), 2) for name, amount in need.items() if amount}
            raise RunFailure(
                f"stalled: {config.execution.workers} replicas of {_resources(need)} did not start within {limit_s:.0f} s; "
                f"the cluster has {_resources(free)} free; free more or lower execution.workers; the same command resumes"
            )
        time.sleep(_POLL_S)


def _reason(failed: ApplicationStatusOverview) -> str:
    """Why an application did not start: what a replica's constructor raised, the last line of its traceback, else what Serve says."""
    for deployment in failed.deployments.values():
        if deployment.status == _DEPLOY_FAILED and (lines := deployment.message.strip().splitlines()):
            return lines[-1].strip().removeprefix(f"{UsageProblem.__module__}.UsageProblem: ")
    return failed.message.strip()


def _resources(amounts: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount or name == "CPU")


def text_app(config: RunConfig) -> str:
    """Serve application of a run's text replicas. Two runs on one cluster share them only if they generate alike."""
    return f"synthseg-text-{config.generation_fingerprint()[:8]}"


def image_app(config: RunConfig) -> str:
    """Serve application of a run's image replicas."""
    return f"synthseg-image-{config.generation_fingerprint()[:8]}"


def text_handle(config: RunConfig) -> DeploymentHandle[Any]:
    """Handle to the text replicas; works in the driver, in Ray Data workers and in other replicas."""
    return serve.get_app_handle(text_app(config))


def image_handle(config: RunConfig) -> DeploymentHandle[Any]:
    """Handle to the image replicas."""
    return serve.get_app_handle(image_app(config))


def release(app: str) -> None:
    """Take an app's replicas down so that later stages have their memory and CPUs."""
    serve.delete(app)


def build(args: dict[str, Any]) -> Application:
    """The HTTP application from `preset` (default embedded; or the path of a TOML file on the cluster) and settings.

    For `serve run serving.deploy.build:build preset=embedded serving.image.num_replicas=2` and for the `args` of a Serve config file.
    UsageProblem names a setting that is wrong.
    """
    settings = dict(args)
    preset = str(settings.pop("preset", "embedded"))
    overrides = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]
    return application(load_config(preset, overrides))


def application(config: RunConfig, image_replica: object = ImageReplica) -> Application:
    """Gateway, prompt agent and engines of `config`, each with its own settings."""
    # Batch runs import this module, too, and need neither FastAPI nor CLIP.
    from serving.agent.replica import PromptAgentReplica
    from serving.deploy.gateway import Gateway

    serving = config.serving
    text = text_application(
        config,
        _options(config, "text"),
        max_batch_size=serving.text.max_batch_size,
        max_queued=serving.text.max_ongoing_requests,
    )
    image = (
        _deployment(image_replica)
        .options(**_options(config, "image"))
        .bind(config, serving.image.max_batch_size, serving.image.max_batch_pixels, serving.image.max_ongoing_requests)
    )
    agent = _deployment(PromptAgentReplica).options(**_options(config, "prompt_agent")).bind(config, text)
    backpressure = BackpressureConfig(status_code=429, retry_after_s=1)
    gateway = _deployment(Gateway).options(**_options(config, "gateway"), backpressure_config=backpressure)
    return gateway.bind(config, text, image, agent)


def _deployment(replica: object) -> Deployment:
    """What `serve.deployment` has made of a class; its types say that it is the class still."""
    return cast(Deployment, replica)


def _options(config: RunConfig, name: DeploymentName) -> dict[str, Any]:
    deployment: DeploymentConfig = getattr(config.serving, name)
    options: dict[str, Any] = {
        "max_ongoing_requests": deployment.max_ongoing_requests,
        "max_queued_requests": deployment.max_queued_requests,
        # A replica that is taken down finishes what it has; nothing may take longer than the deadline.
        "graceful_shutdown_timeout_s": config.serving.deadline_s,
        "graceful_shutdown_wait_loop_s": 0.2,
        "ray_actor_options": {
            "num_cpus": deployment.num_cpus,
            "num_gpus": deployment_gpus(config, name),
            # Calls of other deployments are made on the replica's own event loop, which saves two changes of thread each.
            "runtime_env": _runtime_env(RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP="0", **SERVE_HOOK),
        },
        # The gateway logs every request itself.
        "logging_config": {"enable_access_log": False},
    }
    if deployment.max_replicas:
        options["autoscaling_config"] = {
            "min_replicas": deployment.min_replicas,
            "initial_replicas": min(max(deployment.num_replicas, deployment.min_replicas), deployment.max_replicas),
            "max_replicas": deployment.max_replicas,
            "target_ongoing_requests": deployment.target_ongoing_requests,
        }
    else:
        options["num_replicas"] = deployment.num_replicas
    return options


def _runtime_env(**variables: str) -> dict[str, Any]:
    """One thread a process: two processes of one thread beat one of two by a factor on small CPUs. And `variables`."""
    return {"env_vars": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), **variables}}
