"""Every weight that a configuration needs from the hub: which setting names it, where it lies there, which files, what licence and size."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from synthseg.config.schema import ImagesConfig, PromptsConfig, RunConfig
from synthseg.errors import UsageProblem
from synthseg.machine.hub.ids import HubId, is_local, parse_hub_id
from synthseg.machine.hub.names import HF_HUB_PREFIX, hub_id_of_clip, hub_id_of_timm
from synthseg.machine.hub.selection import Kind, Selection

Purpose = Literal["run", "serve"]

_EMBEDDED: Final = "embedded"
_LOCAL_DIR: Final = "local-dir:"
_GIGABYTE: Final = 10**9
VLLM_DEFAULT: Final = "Qwen/Qwen2.5-7B-Instruct"
"""What an empty prompts.model means to vLLM."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Files of one repository that one setting asks for."""

    field: str
    """The setting that names the model."""
    hub_id: HubId
    selection: Selection

    @property
    def licence(self) -> str:
        """As the model card states it; empty when it is not known before the hub was asked."""
        return str(_known().get(self.hub_id.repo, {}).get("licence", ""))

    @property
    def num_bytes(self) -> int:
        """About what has to be downloaded; 0 when it is not known before the hub was asked."""
        return int(float(_known().get(self.hub_id.repo, {}).get("gigabytes", 0.0)) * _GIGABYTE)


def weights_of(config: RunConfig, purpose: Purpose = "run") -> tuple[Weight, ...]:
    """The weights `config` needs from the hub, once each; local paths and embedded models need none.

    Serving needs those of prompts, images and scoring only. UsageProblem when a setting names no model that can be found.
    """
    found: dict[tuple[HubId, str], Weight] = {}
    for weight in _all(config, purpose):
        found.setdefault((weight.hub_id, weight.selection.key), weight)
    return tuple(found.values())


def _all(config: RunConfig, purpose: Purpose) -> Iterator[Weight]:
    scoring, segmenter = config.scoring, config.segmenter
    yield from _prompts(config.prompts)
    yield from _images(config.images)
    yield from _clip("scoring.model", scoring.model, "scoring.weights", scoring.weights)
    if purpose == "serve":
        return
    yield from _timm("classifier.model", config.classifier.model, config.classifier.weights)
    yield from _clip("segmenter.clip_model", segmenter.clip_model, "segmenter.clip_weights", segmenter.clip_weights)
    if segmenter.mode == "clip_dino":
        yield from _timm("segmenter.dino_model", segmenter.dino_model, segmenter.dino_weights)


def _prompts(section: PromptsConfig) -> Iterator[Weight]:
    if section.engine == "vllm":
        yield from _plain("prompts.model", section.model or VLLM_DEFAULT, "transformers", section.revision)
        if lora := section.lora:
            yield from _plain("prompts.lora", lora, "lora")
    elif section.engine == "llama" and section.model:
        yield from _plain("prompts.model", section.model, "gguf", section.revision)


def _images(section: ImagesConfig) -> Iterator[Weight]:
    if section.engine != "diffusers":
        return
    yield from _plain("images.model", section.model, "diffusers", section.revision, variant=section.variant)
    if section.config:
        yield from _plain("images.config", section.config, "pipeline-config")
    if lora := section.lora:
        yield from _plain("images.lora", lora, "lora", file=section.lora_file)
    if (checker := section.safety_checker) not in ("", "auto", "off"):
        yield from _plain("images.safety_checker", checker, "transformers")


def _plain(field: str, model: str, kind: Kind, revision: str = "", *, variant: str = "", file: str = "") -> Iterator[Weight]:
    if not model:
        raise UsageProblem(f"{field}: is empty; name a model of the hub or a path")
    if is_local(model):
        return
    hub_id = parse_hub_id(model, field, revision)
    if kind == "gguf" and not hub_id.file.endswith(".gguf"):
        raise UsageProblem(f"{field}: '{model}' names no GGUF file; write ORG/REPO/FILE.gguf, a path, or nothing for the embedded model")
    yield Weight(field, hub_id, Selection(kind, hub_id.file or file, variant))


def _clip(field: str, model: str, weights_field: str, weights: str) -> Iterator[Weight]:
    if model == _EMBEDDED or model.startswith(_LOCAL_DIR) or is_local(model) or (weights and is_local(weights)):
        return
    if not weights and not model.startswith(HF_HUB_PREFIX):
        raise UsageProblem(f"{weights_field}: is empty; name a file, or one of open_clip's tags for '{model}', such as openai")
    repo = hub_id_of_clip(model, weights)
    if not repo:
        raise UsageProblem(f"{weights_field}: open_clip knows no weights '{weights}' of '{model}' on the hub; name another tag, or a file")
    yield Weight(field, parse_hub_id(repo, field), Selection("clip"))


def _timm(field: str, model: str, weights: str) -> Iterator[Weight]:
    if model == _EMBEDDED or model.startswith(_LOCAL_DIR) or (weights and is_local(weights)):
        return
    repo = hub_id_of_timm(model)
    if not repo:
        raise UsageProblem(f"{field}: timm knows no weights of '{model}' on the hub; name a model with its tag, or set its weights")
    yield Weight(field, parse_hub_id(repo, field), Selection("timm"))


@cache
def _known() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files("synthseg.machine.hub").joinpath("known.toml").read_text(encoding="utf-8"))
