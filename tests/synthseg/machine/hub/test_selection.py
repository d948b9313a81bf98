from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from synthseg.errors import UsageProblem
from synthseg.machine.hub.selection import Selection, select

SDXL = [
    "README.md",
    "model_index.json",
    "sd_xl_base_1.0.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.onnx",
    "text_encoder/flax_model.msgpack",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
    "transformer/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_1_0/diffusion_pytorch_model.safetensors",
]
INDEX = {
    "_class_name": "Pipeline",
    "scheduler": ["diffusers", "S"],
    "text_encoder": ["transformers", "T"],
    "tokenizer": ["transformers", "K"],
    "transformer": ["diffusers", "D"],
    "vae": ["diffusers", "V"],
    "safety_checker": [None, None],
}


def chosen(selection: Selection, names: list[str], index: Mapping[str, Any] = INDEX) -> list[str]:
    return select(selection, names, lambda name: index, "images.model")


def test_a_pipeline_is_the_components_its_index_names_in_one_precision() -> None:
    found = chosen(Selection("diffusers"), SDXL)
    assert [name for name in found if name.endswith(".safetensors")] == [
        "text_encoder/model.safetensors",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt", "vae/config.json"} <= set(found)
    assert not any(name.endswith((".onnx", ".msgpack", ".md")) for name in found)


def test_of_the_configs_for_a_single_file_no_weights_come() -> None:
    found = chosen(Selection("pipeline-config"), SDXL)
    assert {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt", "vae/config.json"} <= set(found)
    assert not any(name.endswith((".safetensors", ".onnx", ".msgpack")) for name in found)


def test_a_variant_is_taken_where_a_component_has_it() -> None:
    found = chosen(Selection("diffusers", variant="fp16"), SDXL)
    assert [name for name in found if name.endswith(".safetensors")] == [
        "text_encoder/model.fp16.safetensors",
        "transformer/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_a_language_model_comes_without_what_others_read() -> None:
    names = ["config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names += ["model.safetensors.index.json", "tokenizer.model", "chat_template.jinja", "pytorch_model.bin", "original/params.json"]
    names += ["pytorch_model.bin.index.json", "README.md"]
    assert chosen(Selection("transformers"), names) == sorted(
        [
            *("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
            *("tokenizer.model", "chat_template.jinja"),
        ]
    )


def test_a_clip_model_comes_without_its_image_tower_alone() -> None:
    names = ["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    assert chosen(Selection("clip"), names) == ["config.json", "open_clip_config.json", "open_clip_model.safetensors"]
    assert chosen(Selection("clip"), names[:3]) == ["config.json", "model.safetensors", "open_clip_config.json"]


@pytest.mark.parametrize(
    ("selection", "names", "says"),
    [
        (Selection("transformers"), ["config.json", "pytorch_model.bin"], "no weights as safetensors"),
        (Selection("diffusers"), ["config.json", "model.safetensors"], "no model_index.json"),
        (Selection("diffusers"), ["model_index.json", "vae/diffusion_pytorch_model.bin"], "'vae' has no weights as safetensors"),
        (Selection("gguf", "q5.gguf"), ["q4.gguf", "README.md"], "has no file 'q5.gguf'; it has q4.gguf"),
    ],
)
def test_a_repository_without_what_is_needed_is_refused(selection: Selection, names: list[str], says: str) -> None:
    with pytest.raises(UsageProblem, match=f"^images.model: .*{says}"):
        chosen(selection, names)
