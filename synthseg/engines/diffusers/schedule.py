"""Schedulers of diffusers: which one fits a pipeline, and whether it can make the schedule that a request asks for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import diffusers
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps

from synthseg.engines.diffusers.outline import LOAD_ERRORS, first_line
from synthseg.errors import UsageProblem

STEPS: Final = "steps"
_SCHEDULE: Final = ("sigmas", "timesteps", "original_inference_steps", STEPS)
"""Parameters that decide the schedule; the first that is given is the one that a fault is about."""
_OF_DISTILLED: Final = (diffusers.LCMScheduler, diffusers.TCDScheduler)
"""Schedulers for consistency models and their LoRAs. They take DDIM's place on the same noise schedule, though diffusers lists them nowhere
as compatible.
"""
_ANY_SHIFT: Final = 0.5
"""A shift of the schedule that depends on the image's size, where the scheduler wants one; no fault depends on it."""


def fresh_scheduler(scheduler: Any) -> Any:
    """A scheduler with the same settings and no past."""
    return type(scheduler).from_config(scheduler.config)


def scheduler_of(pipe: Any, name: str) -> Any:
    """The scheduler class `name` with the settings of the pipeline's own one. UsageProblem when it does not fit the pipeline."""
    own = pipe.scheduler
    fitting = {found.__name__: found for found in own.compatibles}
    if diffusers.DDIMScheduler.__name__ in fitting:
        fitting |= {found.__name__: found for found in _OF_DISTILLED}
    if name not in fitting:
        raise UsageProblem(f"images.scheduler: '{name}' does not fit {type(pipe).__name__}; it takes {', '.join(sorted(fitting))}")
    try:
        return fitting[name].from_config(own.config)
    except LOAD_ERRORS as error:
        raise UsageProblem(f"images.scheduler: '{name}' cannot be set up from {type(own).__name__} ({first_line(error)})") from error


def reads_eta(scheduler: Any) -> bool:
    """Whether its step takes DDIM's eta; pipelines pass it on to no other."""
    return "eta" in inspect.signature(scheduler.step).parameters


def check_schedule(scheduler: Any, settings: Mapping[str, Any], default_steps: Any) -> None:
    """UsageProblem, by the name in `settings`, when the scheduler cannot make the schedule: it is made here, on numbers alone."""
    given = [name for name in _SCHEDULE if settings.get(name) is not None]
    if not given:
        return
    name = type(scheduler).__name__
    trained = scheduler.config.get("num_train_timesteps")
    if isinstance(trained, int) and (settings.get(STEPS) or 0) > trained:
        raise UsageProblem(f"{STEPS}: {name} makes at most {trained}, not {settings[STEPS]}")
    if not isinstance(default_steps, int) or _fault(scheduler, {STEPS: default_steps}):
        return  # its pipeline sets it up in a way of its own
    if fault := _fault(scheduler, {STEPS: default_steps, **settings}):
        raise UsageProblem(f"{given[0]}: {name} makes no schedule of {settings[given[0]]!r} ({fault})")


def _fault(scheduler: Any, settings: Mapping[str, Any]) -> str:
    extra: dict[str, Any] = {"mu": _ANY_SHIFT} if scheduler.config.get("use_dynamic_shifting") else {}
    if (original := settings.get("original_inference_steps")) is not None:
        extra["original_inference_steps"] = original
    try:
        retrieve_timesteps(
            fresh_scheduler(scheduler),
            settings.get(STEPS),
            timesteps=settings.get("timesteps"),
            sigmas=settings.get("sigmas"),
            **extra,
        )
    except (*LOAD_ERRORS, ArithmeticError, AssertionError, LookupError) as error:
        return first_line(error)
    return ""
