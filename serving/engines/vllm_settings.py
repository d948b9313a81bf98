"""What Ray Serve LLM is told about a configuration. Needs neither Ray nor vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg.config.schema import RunConfig
from synthseg.engines.vllm.weights import LocalModel
from synthseg.machine.sizing.placement import vllm_bundles, vllm_memory

SEED = 0
"""vLLM's own seed. Every request brings one, so this decides nothing but what vLLM draws at its start."""
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
"""Nothing is downloaded and nothing reported while a run goes on."""
_MAX_LORA_RANK = 64


def served_name(config: RunConfig) -> str:
    """What clients call the model."""
    return Path(config.prompts.model).name if config.prompts.model.startswith(("/", ".", "~")) else config.prompts.model


def request_model(config: RunConfig) -> str:
    """What a request calls the model: the adapter, where there is one."""
    return f"{served_name(config)}:lora" if config.prompts.lora else served_name(config)


def llm_arguments(config: RunConfig, options: Mapping[str, Any], model: LocalModel | None = None) -> dict[str, Any]:
    """Arguments of Ray Serve LLM's `LLMConfig`. `options` are those of a Serve deployment; `model` is known on the replica's node only."""
    vllm = config.execution.vllm
    actor = options.get("ray_actor_options", {})
    environment = {**actor.get("runtime_env", {}).get("env_vars", {}), **_ENVIRONMENT}
    return {
        "model_loading_config": {"model_id": served_name(config), "model_source": str(model.path) if model else config.prompts.model},
        "engine_kwargs": engine_arguments(config),
        "accelerator_type": vllm.accelerator_type or None,
        "deployment_config": {
            **options,
            # The devices are in the bundles; the replica itself only talks to the processes that hold them.
            "ray_actor_options": {"num_cpus": vllm.num_cpus, "runtime_env": {"env_vars": environment}},
        },
        "runtime_env": {"env_vars": environment},
        "placement_group_config": {"bundles": [dict(bundle) for bundle in vllm_bundles(config)], "strategy": vllm.placement},
    }


def engine_arguments(config: RunConfig) -> dict[str, Any]:
    """Arguments of vLLM's engine."""
    vllm, prompts = config.execution.vllm, config.prompts
    arguments: dict[str, Any] = {
        "dtype": prompts.dtype or "auto",
        "tensor_parallel_size": vllm.tensor_parallel_size,
        "max_model_len": vllm.max_model_len,
        "max_num_seqs": vllm.max_num_seqs,
        "gpu_memory_utilization": vllm_memory(config),
        "enable_prefix_caching": vllm.enable_prefix_caching,
        "enforce_eager": vllm.enforce_eager,
        "seed": SEED,
        "trust_remote_code": False,
        # Requests say how to sample; without this, a file beside the weights adds to it.
        "generation_config": "vllm",
        # Where white space is free, a small model can spend all its tokens on it, and the reply does not parse.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if prompts.lora:
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _MAX_LORA_RANK}
    return arguments
