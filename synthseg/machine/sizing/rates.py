"""The rates that a plan reckons with: rates.toml, read, and how they carry over from one GPU or model to another."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from synthseg.errors import UsageProblem

_BY_SIZE = "estimate: seconds an image in proportion to steps and pixels"
_BY_PARAMETERS = "estimate: tokens a second in inverse proportion to parameters"
_BY_MULTIPLY_ADDS = "estimate: images a second in inverse proportion to multiply-adds, from the tokens, width and depth of the encoder"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU. Throughput is dense bf16."""

    key: str
    name: str
    bf16_tflops: float
    bandwidth_gb_s: float
    memory_gb: float
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A number and where it is from."""

    value: float
    sources: tuple[str, ...]


@cache
def table() -> Mapping[str, Any]:
    """The content of rates.toml."""
    return tomllib.loads(files("synthseg.machine.sizing").joinpath("rates.toml").read_text(encoding="utf-8"))


def gpu_names() -> tuple[str, ...]:
    """What --gpu takes."""
    return tuple(table()["gpus"])


def gpu(key: str) -> Gpu:
    """The GPU called `key`, in letters of any case. UsageProblem for any other."""
    kinds = table()["gpus"]
    if key.lower() not in kinds:
        raise UsageProblem(f"--gpu: '{key}' is not one of {', '.join(kinds)}")
    entry = kinds[key.lower()]
    return Gpu(key.lower(), entry["name"], entry["bf16_tflops"], entry["bandwidth_gb_s"], entry["memory_gb"], entry["usd_per_hour"])


def assumed(name: str) -> Rate:
    """An assumption by its name."""
    entry = table()["assumed"][name]
    return Rate(entry["value"], (entry["source"],))


def seconds_per_image(model: str, steps: int | None, num_pixels: int, kind: Gpu) -> Rate | None:
    """Seconds for one image on `kind`; None for a model without a stated time.

    Steps and pixels count in proportion. From another GPU it carries over by tensor throughput, which is an estimate and says so.
    """
    entry = table()["images"].get(model)
    if entry is None:
        return None
    seconds = entry["seconds"] * (steps or entry["steps"]) / entry["steps"] * num_pixels / entry["side_px"] ** 2
    measured = gpu(entry["gpu"])
    source = f"{model}: {entry['seconds']:g} s on {measured.name} at {entry['side_px']} px, {entry['steps']} steps; {entry['source']}"
    if measured.key == kind.key:
        return Rate(seconds, (source, _BY_SIZE))
    return Rate(seconds * measured.bf16_tflops / kind.bf16_tflops, (source, _BY_SIZE, _by_throughput(kind)))


def image_memory_gb(model: str) -> Rate | None:
    """Peak GPU memory of an image model in bf16 at batch 1; None where none is stated."""
    entry = table()["images"].get(model)
    return Rate(entry["memory_gb"], (entry["source"],)) if entry else None


def tokens_per_s(model: str, kind: Gpu) -> Rate | None:
    """Output tokens a second of one GPU; None for a model of unknown size. By parameters, and from another GPU by memory bandwidth."""
    billions = table()["text_models"].get(model)
    if billions is None:
        return None
    entry = table()["text"].get(kind.key)
    if entry is not None:
        rate = entry["tokens_per_s"] * entry["billions"] / billions
        return Rate(rate, (_text_source(entry, kind), _BY_PARAMETERS))
    entry, measured = table()["text"]["h100"], gpu("h100")
    rate = entry["tokens_per_s"] * entry["billions"] / billions * kind.bandwidth_gb_s / measured.bandwidth_gb_s
    carried = f"estimate for {kind.name}: carried over by memory bandwidth"
    return Rate(rate, (_text_source(entry, measured), _BY_PARAMETERS, carried))


def _text_source(entry: Mapping[str, Any], kind: Gpu) -> str:
    return f"{entry['tokens_per_s']:,.0f} output tokens/s on {kind.name}; {entry['source']}"


def vit_gmacs(model: str, num_pixels: float) -> float | None:
    """Billions of multiply-adds for one image; None for an unknown model. Width d, depth L, n tokens: L (12 n d^2 + 2 n^2 d)."""
    for name, shape in table()["vit"].items():
        if model.startswith(name):
            tokens = num_pixels / shape["patch"] ** 2 + 1
            width = shape["width"]
            return float(shape["depth"] * (12 * tokens * width**2 + 2 * tokens**2 * width)) / 1e9
    return None


def gmacs_per_s(kind: Gpu) -> Rate:
    """Billions of multiply-adds a second of vision transformers on `kind`, large batches."""
    entry = table()["vit_rate"]
    rate = entry["images_per_s"] * entry["gmacs"]
    measured = gpu(entry["gpu"])
    source = f"encoders: {entry['images_per_s']:,.0f} images/s of {entry['gmacs']:g} GMACs on {measured.name}; {entry['source']}"
    if measured.key == kind.key:
        return Rate(rate, (source, _BY_MULTIPLY_ADDS))
    return Rate(rate * kind.bf16_tflops / measured.bf16_tflops, (source, _BY_MULTIPLY_ADDS, _by_throughput(kind)))


def _by_throughput(kind: Gpu) -> str:
    return f"estimate for {kind.name}: carried over by dense bf16 throughput of the data sheets (small batches gain less from a large GPU)"
