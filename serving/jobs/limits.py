"""How large a run may be that is asked for over HTTP: an upper bound for every number that a client may set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from annotated_types import Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synthseg.config.schema import RunConfig
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem
from synthseg.ids import SEED_BITS

ENGINE_PARAMETERS: Final = "images.parameters"
MOST: Final[Mapping[str, float]] = {
    "prompts.prompts_per_class": 1000,
    "prompts.context_prompts_per_class": 1000,
    "prompts.max_rounds": 100,
    "prompts.requests_per_round": 64,
    "prompts.candidates_per_request": 32,
    "prompts.calibration_draws": 4096,
    "prompts.max_words": 200,
    "prompts.temperature": 2,
    "prompts.max_tokens": 4096,
    "images.width": 2048,
    "images.height": 2048,
    "images.images_per_prompt": 64,
    "images.lora_scale": 10,
    ENGINE_PARAMETERS: 1000,
    "scoring.keep_per_prompt": 64,
    "scoring.min_class_score": 1000,
    "classifier.image_size": 1024,
    "classifier.folds": 10,
    "classifier.epochs": 500,
    "classifier.batch_size": 1024,
    "classifier.learning_rate": 1,
    "classifier.weight_decay": 10,
    "classifier.top_k": 4096,
    "classifier.opinion_scale": 100,
    "classifier.contrast_weight": 100,
    "segmenter.crop_size": 1024,
    "segmenter.iterations": 100_000,
    "segmenter.batch_size": 256,
    "segmenter.learning_rate": 1,
    "segmenter.weight_decay": 10,
    "segmenter.warmup_iterations": 100_000,
    "segmenter.decoder_width": 4096,
    "segmenter.decoder_blocks": 64,
    "segmenter.num_attributes": 4096,
    "segmenter.seed_blocks": 64,
    "segmenter.seed_scales": 4,
    "segmenter.affinity_blocks": 64,
    "segmenter.affinity_power": 64,
    "segmenter.cda_temperature": 10,
    "segmenter.background_power": 100,
    "segmenter.par_iterations": 1000,
    "segmenter.par_stride": 64,
    "segmenter.ignore_band": 1,
    "segmenter.affinity_loss_weight": 100,
    "segmenter.affinity_radius": 64,
    "segmenter.consistency_loss_weight": 100,
    "evaluation.num_images": 100_000,
    "evaluation.scales": 4,
    "execution.image_batch_size": 256,
    "execution.max_in_flight": 1024,
    "execution.stall_timeout_s": 3600,
    "seed": (1 << SEED_BITS) - 1,
}
"""Largest value, in either direction, of what has no bound in the schema itself; `serving.job_limits` puts others in place of these.

Of a list, each value. Generous: five to a hundred times what the presets have. They keep out what could never end or would take the
machine down at once; `serving.max_job_s`, `max_job_bytes` and `max_job_images` bound what a run takes in all.
"""
MOST_VALUES: Final = 16
"""Values of a list."""
MOST_CHARS: Final = 1000
"""Characters of a text, and of all texts of a list together."""


def limits(serving: ServingConfig) -> dict[str, float]:
    """The bound of each setting. UsageProblem for a name in `serving.job_limits` that bounds nothing."""
    given = dict(_flat(serving.job_limits, ""))
    for name in given:
        if name not in MOST:
            raise UsageProblem(f"serving.job_limits: '{name}' has no limit here; those that have one are {', '.join(MOST)}")
    return {**MOST, **given}


def check_limits(config: RunConfig, base: RunConfig, serving: ServingConfig) -> None:
    """UsageProblem when the client of a run has raised something beyond its bound. `base` is the run without the client's settings: what
    the server's owner has set is not bounded.
    """
    most = limits(serving)
    before = dict(_leaves(base, ""))
    for name, value in _leaves(config, ""):
        if value != before.get(name):
            _check_value(name, value, most)
    num_images, own = _num_images(config), _num_images(base)
    if num_images > max(own, serving.max_job_images):
        raise UsageProblem(
            f"settings: the run would make {num_images} images; one over HTTP makes at most {serving.max_job_images}: "
            "lower per_class, prompts.prompts_per_class or images.images_per_prompt"
        )


@cache
def has_bound(name: str) -> bool:
    """Whether the schema itself bounds the setting `name` from above, or this module does."""
    return name in MOST or _schema_bounds(name)


def _schema_bounds(name: str) -> bool:
    field: FieldInfo | None = None
    found: Any = RunConfig
    for part in name.split("."):
        field = found.model_fields[part]
        found = field.annotation
    return field is not None and any(isinstance(rule, Le | Lt) for rule in field.metadata)


def _check_value(name: str, value: Any, most: Mapping[str, float]) -> None:
    values = list(value) if isinstance(value, tuple) else [value]
    if name != "classes" and len(values) > MOST_VALUES:
        raise UsageProblem(f"settings: {name} has {len(values)} values; over HTTP it may have at most {MOST_VALUES}")
    if name != "classes" and sum(len(text) for text in values if isinstance(text, str)) > MOST_CHARS:
        raise UsageProblem(f"settings: {name} has more than {MOST_CHARS} characters, the most over HTTP")
    bound = most.get(ENGINE_PARAMETERS if name.startswith(f"{ENGINE_PARAMETERS}.") else name)
    for number in values:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if bound is not None and is_number and not -bound <= number <= bound:  # NaN is not either
            raise UsageProblem(f"settings: {name} may be at most {bound:g} over HTTP, not {number:g}")


def _num_images(config: RunConfig) -> int:
    prompts = config.prompts.prompts_per_class + config.prompts.context_prompts_per_class
    return len(config.class_infos()) * prompts * config.images.images_per_prompt


def _leaves(section: BaseModel | Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every setting of a run with its value, tables of engine parameters included; not the server's own."""
    items = section.items() if isinstance(section, Mapping) else ((name, getattr(section, name)) for name in type(section).model_fields)
    for name, value in items:
        if isinstance(value, BaseModel | Mapping):
            if prefix or name != "serving":
                yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
