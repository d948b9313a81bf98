from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.engines.vllm_settings import llm_arguments, request_model, served_name
from synthseg.config.loading import load_config
from synthseg.engines.vllm.weights import LocalModel, local_model

OPTIONS = {
    "num_replicas": 2,
    "max_ongoing_requests": 7,
    "ray_actor_options": {"num_cpus": 0.25, "num_gpus": 1.0, "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}},
}


def arguments(*settings: str, model: LocalModel | None = None) -> dict[str, Any]:
    return llm_arguments(load_config("voc", settings), OPTIONS, model)


def test_the_presets_share_prefixes_and_hold_decoding_to_the_schema() -> None:
    for preset in ("voc", "coco"):
        config = load_config(preset)
        assert config.prompts.engine == "vllm"
        engine = llm_arguments(config, OPTIONS)["engine_kwargs"]
        assert engine["enable_prefix_caching"] is True
        assert engine["structured_outputs_config"] == {"backend": "xgrammar", "disable_any_whitespace": True}
        assert engine["generation_config"] == "vllm"
        assert engine["trust_remote_code"] is False
        assert len(config.prompts.revision) == 40


def test_devices_are_in_the_bundles_and_not_in_the_replica() -> None:
    told = arguments("execution.vllm.tensor_parallel_size=2", "execution.vllm.accelerator_type=L4")
    assert told["engine_kwargs"]["tensor_parallel_size"] == 2
    assert told["accelerator_type"] == "L4"
    assert told["placement_group_config"] == {"bundles": [{"GPU": 0.8}, {"GPU": 0.8}], "strategy": "PACK"}
    assert told["engine_kwargs"]["gpu_memory_utilization"] == 0.8
    deployment = told["deployment_config"]
    assert (deployment["num_replicas"], deployment["max_ongoing_requests"]) == (2, 7)
    assert "num_gpus" not in deployment["ray_actor_options"]
    environment = deployment["ray_actor_options"]["runtime_env"]["env_vars"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_bundles_are_taken_as_they_are() -> None:
    told = arguments("execution.vllm.bundles=[{CPU = 1}, {CPU = 2}]", "execution.vllm.placement=SPREAD")
    assert told["accelerator_type"] is None
    assert told["placement_group_config"] == {"bundles": [{"CPU": 1.0}, {"CPU": 2.0}], "strategy": "SPREAD"}


def test_weights_are_named_where_they_lie(tmp_path: Path) -> None:
    config = load_config("voc", [f"prompts.model={tmp_path}", f"prompts.lora={tmp_path}"])
    model = local_model(config)
    assert model == LocalModel(tmp_path, tmp_path)
    told = llm_arguments(config, OPTIONS, model)
    assert told["model_loading_config"] == {"model_id": tmp_path.name, "model_source": str(tmp_path)}
    assert told["engine_kwargs"]["enable_lora"] is True
    assert request_model(config) != served_name(config)
