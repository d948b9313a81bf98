"""Engine `vllm` as its users have it: the stage of a run, the server with its keys, an adapter. Each starts its own vLLM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from pipelines.run import run_pipeline
from pipelines.session import ray_session
from serving.deploy.build import deploy_engines, text_handle
from serving.engines.client import generate_texts
from serving.state.keys import KeyStore
from synthseg.engines.text import TextRequest
from synthseg.progress import LineProgress
from synthseg.records import CANDIDATE_SCHEMA
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from tests.serving.deploy.live import live_server
from tests.vllm.conftest import CPU, MODEL, vllm_config

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


def test_a_run_writes_its_prompts_with_it(tmp_path: Path) -> None:
    config = vllm_config(classes=["horse"])
    run_pipeline(config, str(tmp_path), verbose=False, progress=LineProgress(Console(quiet=True)), until=Stage.prompts)
    rows = RunFolder.open(str(tmp_path)).shards.read_all("prompts", CANDIDATE_SCHEMA).to_pylist()
    accepted = [row for row in rows if row["accepted"]]
    assert len(rows) >= config.prompts.requests_per_round
    assert accepted
    assert len({row["engine"] for row in rows}) == 1


def test_the_server_serves_it_under_its_own_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = KeyStore(keys).add("someone")
    settings = ("prompts.engine=vllm", f"prompts.model={MODEL}", *CPU, "serving.jobs=false", f"serving.keys_file={keys}")
    with live_server(tmp_path, *settings) as server:
        api = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
        messages: Any = [{"role": "user", "content": "Describe a horse."}]
        model = next(found.id for found in api.models.list() if found.id == MODEL.name)
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
        answer = api.chat.completions.create(
            model=model,
            messages=messages,
            seed=1,
            max_tokens=24,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        )
        assert isinstance(json.loads(answer.choices[0].message.content or "")["n"], int)
        told = list(api.chat.completions.create(model=model, messages=messages, seed=1, max_tokens=12, temperature=0, stream=True))
        assert len(told) > 6
        with pytest.raises(openai.BadRequestError) as refused:
            api.chat.completions.create(model=model, messages=[{"role": "user", "content": "7" * 3000}], max_tokens=4)
        assert refused.value.code == "context_length_exceeded"
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-no", max_retries=0).models.list()


def test_an_adapter_changes_the_text(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    _write_adapter(adapter)
    asked = TextRequest(({"role": "user", "content": "Tell a story."},), seed=1, max_tokens=16, temperature=0.0)
    texts = []
    for settings in ((), (f"prompts.lora={adapter}",)):
        config = vllm_config(*settings)
        with ray_session(config, verbose=False):
            deploy_engines(config, text=True, image=False)
            handle = text_handle(config)
            texts.append((generate_texts(handle, [asked])[0].text, handle.digest.remote().result()))
    assert texts[0][0] != texts[1][0]
    assert texts[0][1] != texts[1][1]


def _write_adapter(folder: Path) -> None:
    """A LoRA of rank 4 on every query projection, with random weights large enough to be heard, in PEFT's format."""
    settings = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    width, rank = settings["hidden_size"], 4
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for layer in range(settings["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(rank, width, generator=generator)
        weights[f"{name}.lora_B.weight"] = torch.randn(settings["num_attention_heads"] * settings["head_dim"], rank, generator=generator)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj"], "bias": "none",
        "base_model_name_or_path": os.fspath(MODEL), "modules_to_save": None, "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(described), encoding="utf-8")
