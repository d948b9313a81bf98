"""From a configuration to what it takes, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.machine.hub.catalogue import VLLM_DEFAULT, weights_of
from synthseg.machine.sizing import rates
from synthseg.machine.sizing.placement import shares, stage_wishes, whole_gpus, widest
from synthseg.machine.sizing.rates import Gpu, Rate

_HOUR_S: Final = 3600.0
_GB: Final = 1e9
_SCORE_SIDE: Final = 224
_FORWARD_BACKWARD: Final = 3.0
"""A training step costs three forward passes."""
_BF16_BYTES: Final = 2
_USUAL_BILLIONS: Final = 8.0
_EVALUATION_GB: Final = 4.0
_YOURS: Final = "your own figure"
_WEIGHT_SIZES: Final = "size of the weights: known.toml of synthseg/machine/hub, from the model cards"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage. Hours are of one GPU, memory is the peak on one."""

    name: str
    work: str
    gpu_hours: float
    memory_gb: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run takes on GPUs of one kind."""

    preset: str
    gpu: Gpu
    num_gpus: int
    at_once: int
    """GPUs that the widest stage needs at once, as `execution` shares them."""
    at_once_work: str
    """Which stage that is, and who takes what share."""
    usd_per_gpu_hour: float
    num_classes: int
    num_prompts: int
    num_images: int
    max_kept: int
    """Images that the selection keeps at most."""
    stages: tuple[StagePlan, ...]
    images_gb: float
    weights_gb: float
    storage_sources: tuple[str, ...]
    price_sources: tuple[str, ...]

    @property
    def gpu_hours(self) -> float:
        """Of all stages."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def memory_gb(self) -> float:
        """The most that any stage takes on one GPU."""
        return max(stage.memory_gb for stage in self.stages)

    @property
    def usd(self) -> float:
        """GPU hours at their price."""
        return self.gpu_hours * self.usd_per_gpu_hour

    def to_json(self) -> dict[str, Any]:
        """All of it, with the totals."""
        totals = {"gpu_hours": self.gpu_hours, "wall_hours": self.gpu_hours / self.num_gpus, "memory_gb": self.memory_gb, "usd": self.usd}
        return asdict(self) | {"totals": totals}


@dataclass(frozen=True, slots=True)
class Measured:
    """The user's own figures, which go before the stated ones."""

    image_seconds: float | None = None
    tokens_per_s: float | None = None


def plan_run(config: RunConfig, kind: Gpu, num_gpus: int = 1, price: float | None = None, measured: Measured | None = None) -> Plan:
    """What `config` takes on `num_gpus` of `kind`. UsageProblem for a model without stated times and none in `measured`."""
    if num_gpus < 1:
        raise UsageProblem(f"--gpus: must be at least 1, not {num_gpus}")
    prompts, images = config.prompts, config.images
    num_prompts = len(config.classes) * (prompts.prompts_per_class + prompts.context_prompts_per_class)
    num_images = num_prompts * images.images_per_prompt
    max_kept = num_prompts * config.scoring.keep_per_prompt
    counts = _Counts(num_prompts, num_images, max_kept)
    stages = tuple(_stages(config, kind, counts, measured or Measured()))
    widest_stage = widest(config)
    wishes = stage_wishes(config, widest_stage)
    bytes_per_pixel = rates.assumed("bytes_per_pixel")
    repos = {weight.hub_id.repo: weight for weight in weights_of(config)}
    return Plan(
        preset=config.preset,
        gpu=kind,
        num_gpus=num_gpus,
        at_once=whole_gpus(wishes),
        at_once_work=f"{widest_stage}: {shares(wishes, 'GPU')}",
        usd_per_gpu_hour=kind.usd_per_hour if price is None else price,
        num_classes=len(config.classes),
        num_prompts=num_prompts,
        num_images=num_images,
        max_kept=max_kept,
        stages=stages,
        images_gb=num_images * images.width * images.height * bytes_per_pixel.value / _GB,
        weights_gb=sum(weight.num_bytes for weight in repos.values()) / _GB,
        storage_sources=(*bytes_per_pixel.sources, _WEIGHT_SIZES),
        price_sources=(rates.table()["price"]["source"],) if price is None else (_YOURS,),
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    prompts: int
    images: int
    kept: int


def _stages(config: RunConfig, kind: Gpu, counts: _Counts, measured: Measured) -> Iterator[StagePlan]:
    yield _prompts(config, kind, counts, measured)
    yield _images(config, kind, counts, measured)
    yield _scoring(config, kind, counts)
    yield _classifier(config, kind, counts)
    yield _segmenter(config, kind)
    yield _evaluate(config, kind)


def _prompts(config: RunConfig, kind: Gpu, counts: _Counts, measured: Measured) -> StagePlan:
    engine, model = config.prompts.engine, config.prompts.model
    acceptance, per_candidate = rates.assumed("acceptance"), rates.assumed("tokens_per_candidate")
    assumptions = acceptance.sources + per_candidate.sources
    tokens = counts.prompts / acceptance.value * per_candidate.value
    work = f"{counts.prompts:,} prompts, {tokens / 1e6:.1f} M tokens"
    if engine != "vllm":
        where = {"llama": "llama.cpp on the CPU", "template": "no model", "openai": "at the endpoint"}[engine]
        return StagePlan("prompts", f"{work}, {where}", 0.0, 0.0, assumptions)
    model = (model or VLLM_DEFAULT).partition("@")[0]
    rate = Rate(measured.tokens_per_s, (_YOURS,)) if measured.tokens_per_s else rates.tokens_per_s(model, kind)
    if rate is None:
        raise UsageProblem(f"prompts.model: no speed is stated for '{model}'; measure it and give --tokens-per-s")
    room, beside = rates.assumed("kv_cache_gb"), rates.assumed("scorer_gb")
    memory = rates.table()["text_models"].get(model, _USUAL_BILLIONS) * _BF16_BYTES + room.value + beside.value
    sources = rate.sources + assumptions + room.sources + beside.sources
    return StagePlan("prompts", work, tokens / rate.value / _HOUR_S, memory, sources)


def _images(config: RunConfig, kind: Gpu, counts: _Counts, measured: Measured) -> StagePlan:
    images = config.images
    work = f"{counts.images:,} images of {images.width} x {images.height}"
    if images.engine == "painter":
        return StagePlan("images", f"{work}, painted on the CPU", 0.0, 0.0, ())
    model = images.model.partition("@")[0]
    steps = images.parameters.get("steps")
    if measured.image_seconds:
        rate: Rate | None = Rate(measured.image_seconds, (_YOURS,))
    else:
        rate = rates.seconds_per_image(model, int(steps) if steps else None, images.width * images.height, kind)
    if rate is None:
        raise UsageProblem(f"images.model: no time is stated for '{images.model}'; measure it and give --image-seconds")
    memory, beside = rates.image_memory_gb(model), rates.assumed("scorer_gb")
    hours = counts.images * rate.value / _HOUR_S
    if memory is None:
        return StagePlan("images", work, hours, 0.0, rate.sources)
    return StagePlan("images", work, hours, memory.value + beside.value, rate.sources + beside.sources)


def _scoring(config: RunConfig, kind: Gpu, counts: _Counts) -> StagePlan:
    work = f"{counts.images:,} images through {config.scoring.model}"
    cost = _gmacs("scoring.model", config.scoring.model, _SCORE_SIDE**2)
    if not cost:
        return _on_cpu("scoring", work)
    seconds, sources = _vit_seconds(kind, cost)
    memory = rates.assumed("scorer_gb")
    return StagePlan("scoring", work, counts.images * seconds / _HOUR_S, memory.value, sources + memory.sources)


def _classifier(config: RunConfig, kind: Gpu, counts: _Counts) -> StagePlan:
    section = config.classifier
    side = section.image_size
    num_steps = math.ceil(counts.kept * (section.folds - 1) * section.epochs / section.batch_size)
    work = f"{section.folds} folds, {num_steps:,} steps of {section.batch_size} at {side} px, relabelling"
    cost = _gmacs("classifier.model", section.model, side**2)
    if not cost:
        return _on_cpu("classifier", work)
    floor, memory = rates.assumed("step_seconds"), rates.assumed("training_gb")
    seconds, sources = _vit_seconds(kind, cost)
    step = max(section.batch_size * _FORWARD_BACKWARD * seconds, floor.value)
    opinion, _ = _vit_seconds(kind, _gmacs("classifier.model", section.model, (side * section.opinion_scale) ** 2))
    hours = (num_steps * step + counts.kept * opinion) / _HOUR_S
    return StagePlan("classifier", work, hours, memory.value, sources + floor.sources + memory.sources)


def _segmenter(config: RunConfig, kind: Gpu) -> StagePlan:
    section = config.segmenter
    work = f"{section.iterations:,} steps of {section.batch_size} at {section.crop_size} px"
    cost = _encoders(config, section.crop_size**2)
    if not cost:
        return _on_cpu("segmenter", work)
    floor, memory, decoder = rates.assumed("step_seconds"), rates.assumed("training_gb"), rates.assumed("decoder")
    seconds, sources = _vit_seconds(kind, cost)
    step = max(section.batch_size * decoder.value * seconds, floor.value)
    hours = section.iterations * step / _HOUR_S
    return StagePlan("segmenter", work, hours, memory.value, sources + decoder.sources + floor.sources + memory.sources)


def _evaluate(config: RunConfig, kind: Gpu) -> StagePlan:
    section = config.evaluation
    num_images = section.num_images or rates.table()["datasets"].get(section.dataset.partition(":")[0], 0)
    work = f"{num_images:,} images, {len(section.scales)} scales" + (", flipped" if section.flip else "")
    pixels, floor, decoder = rates.assumed("eval_pixels"), rates.assumed("pass_seconds"), rates.assumed("decoder")
    sources: tuple[str, ...] = ()
    image_s = 0.0
    for scale in section.scales:
        cost = _encoders(config, pixels.value * scale**2)
        if not cost:
            return _on_cpu("evaluate", work)
        seconds, sources = _vit_seconds(kind, cost)
        image_s += max(decoder.value * seconds, floor.value) * (2 if section.flip else 1)
    return StagePlan(
        "evaluate", work, num_images * image_s / _HOUR_S, _EVALUATION_GB, sources + decoder.sources + floor.sources + pixels.sources
    )


def _on_cpu(name: str, work: str) -> StagePlan:
    return StagePlan(name, f"{work}, on the CPU", 0.0, 0.0, ())


def _encoders(config: RunConfig, num_pixels: float) -> float:
    section = config.segmenter
    cost = _gmacs("segmenter.clip_model", section.clip_model, num_pixels)
    return cost + (_gmacs("segmenter.dino_model", section.dino_model, num_pixels) if section.mode == "clip_dino" else 0.0)


def _gmacs(field: str, model: str, num_pixels: float) -> float:
    """Multiply-adds of one image, 1e9; 0 for the embedded model, which runs on the CPU."""
    if model == "embedded":
        return 0.0
    cost = rates.vit_gmacs(model, num_pixels)
    if cost is None:
        raise UsageProblem(f"{field}: no cost is stated for '{model}'; the plan knows {', '.join(rates.table()['vit'])}")
    return cost


def _vit_seconds(kind: Gpu, gmacs: float) -> tuple[float, tuple[str, ...]]:
    """Seconds of one forward pass of one image in a batch of moderate size."""
    rate, share = rates.gmacs_per_s(kind), rates.assumed("small_batch")
    return gmacs / (rate.value * share.value), rate.sources + share.sources


def needed_memory_gb(config: RunConfig) -> float | None:
    """Peak GPU memory of `config` on one GPU, 1e9 bytes; None where none is stated for a model of it."""
    try:
        peak = plan_run(config, rates.gpu("h100")).memory_gb
    except UsageProblem:
        return None
    return math.ceil(peak * 10) / 10
