"""A LoRA is merged whole or refused with the keys that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")
pytest.importorskip("peft")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from synthseg.engines.diffusers.lora import merge_lora  # noqa: E402
from synthseg.errors import UsageProblem  # noqa: E402
from tests.tiny_diffusers import lora  # noqa: E402

PipelineFolder = Callable[[str], Path]
Weights = dict[str, Tensor]
Damage = Callable[[Weights], Weights]


def half_renamed(weights: Weights) -> Weights:
    """As peft's own files of a model with an adapter name in the keys."""
    return {(k.replace(".weight", ".default_0.weight") if i % 2 else k): v for i, (k, v) in enumerate(sorted(weights.items()))}


def all_renamed(weights: Weights) -> Weights:
    return {name.replace(".weight", ".default_0.weight"): value for name, value in weights.items()}


def of_another_network(weights: Weights) -> Weights:
    return weights | {
        name.replace("down_blocks.1", "down_blocks.7"): value + 1 for name, value in weights.items() if "down_blocks.1" in name
    }


def of_another_component(weights: Weights) -> Weights:
    return weights | {name.replace("unet.", "text_encoder_2."): value + 1 for name, value in list(weights.items())[:2]}


def halves(weights: Weights) -> Weights:
    """Products that lack their second factor, which would be left at whatever memory held."""
    return {name: value for name, value in weights.items() if "lora_B" not in name or "mid_block" not in name}


def no_numbers(weights: Weights) -> Weights:
    name = min(weights)
    return weights | {name: torch.full_like(weights[name], float("nan"))}


def endless(weights: Weights) -> Weights:
    name = max(weights)
    return weights | {name: torch.full_like(weights[name], float("inf"))}


def dora(weights: Weights) -> Weights:
    return weights | {
        name.replace("lora_A", "lora.dora_scale"): value[:, :1].clone() for name, value in weights.items() if "lora_A" in name
    }


FAULTS: list[tuple[Damage, str, str]] = [
    (half_renamed, "", "default_0"),
    (all_renamed, "", "default_0"),
    (of_another_network, "holds weights that fit nothing in StableDiffusionPipeline", "down_blocks.7"),
    (of_another_component, "holds weights that fit nothing in StableDiffusionPipeline", "text_encoder_2."),
    (halves, "lacks the other half", "unet.mid_block"),
    (no_numbers, "holds weights that are no numbers", "unet."),
    (endless, "holds weights that are no numbers", "unet."),
    (dora, "holds weights that diffusers leaves out", "dora_scale"),
]


@pytest.mark.parametrize(("damage", "fault", "names"), FAULTS)
def test_what_does_not_fit_whole_is_refused_with_its_keys(
    pipeline: PipelineFolder, tmp_path: Path, damage: Damage, fault: str, names: str
) -> None:
    whole = next(lora(pipeline("sd"), tmp_path / "lora").iterdir())
    save_file({name: value.contiguous() for name, value in damage(load_file(whole)).items()}, tmp_path / "bad.safetensors")
    pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline("sd"))
    with pytest.raises(UsageProblem) as caught:
        merge_lora(pipe, tmp_path / "bad.safetensors", 1.0)
    line = str(caught.value)
    assert line.startswith(f"images.lora: {tmp_path / 'bad.safetensors'}"), line
    assert fault in line, line
    assert names in line, line
    assert "\n" not in line


def kohya(weights: Weights) -> Weights:
    """The same LoRA as most model sites offer it: other names, alphas beside."""
    names = {"lora_A": "lora_down", "lora_B": "lora_up"}
    made = {}
    for name, value in weights.items():
        module, _, half = name.removeprefix("unet.").removesuffix(".weight").rpartition(".")
        made[f"lora_unet_{module.replace('.', '_')}.{names[half]}.weight"] = value
        made[f"lora_unet_{module.replace('.', '_')}.alpha"] = torch.tensor(4.0)
    return made


def test_every_spelling_of_a_whole_one_is_merged_alike(pipeline: PipelineFolder, tmp_path: Path) -> None:
    whole = next(lora(pipeline("sd"), tmp_path / "lora").iterdir())
    save_file(kohya(load_file(whole)), tmp_path / "kohya.safetensors")
    half = {name: value.half() for name, value in load_file(whole).items()}
    save_file(half, tmp_path / "half.safetensors")
    plain = diffusers.DiffusionPipeline.from_pretrained(pipeline("sd")).unet.state_dict()
    merged = []
    for path in (whole, tmp_path / "kohya.safetensors", tmp_path / "half.safetensors"):
        pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline("sd"))
        merge_lora(pipe, path, 1.0)
        assert pipe.unet.state_dict().keys() == plain.keys(), "no adapter is left"
        merged.append(pipe.unet.state_dict())
    changed = [name for name in plain if not torch.equal(plain[name], merged[0][name])]
    assert len(changed) == 4 * 2 * 4, "to_q, to_k, to_v and to_out of both attentions of each of the four blocks"
    assert all(torch.equal(merged[0][name], merged[1][name]) for name in plain)
    assert all(torch.allclose(merged[0][name], merged[2][name], atol=1e-2) for name in plain)


def flux_of_sd_scripts(pipe: Any) -> Weights:
    """A LoRA for FLUX as its trainers save it: one product for query, key and value together, which diffusers cuts into three."""
    width = pipe.transformer.transformer_blocks[0].attn.to_q.in_features
    made = {}
    for name, out in (("double_blocks_0_img_attn_qkv", 3 * width), ("double_blocks_0_img_attn_proj", width)):
        made[f"lora_unet_{name}.lora_down.weight"] = torch.randn(4, width) * 0.3
        made[f"lora_unet_{name}.lora_up.weight"] = torch.randn(out, 4) * 0.3
        made[f"lora_unet_{name}.alpha"] = torch.tensor(2.0)
    return made


def test_what_is_cut_up_on_the_way_is_whole_and_what_is_dropped_is_named(pipeline: PipelineFolder, tmp_path: Path) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline("flux"))
    weights = flux_of_sd_scripts(pipe)
    save_file(weights, tmp_path / "whole.safetensors")
    before = pipe.transformer.state_dict()["transformer_blocks.0.attn.to_k.weight"].clone()
    merge_lora(pipe, tmp_path / "whole.safetensors", 1.0)
    assert not torch.equal(pipe.transformer.state_dict()["transformer_blocks.0.attn.to_k.weight"], before)
    t5 = {f"text_encoders.t5xxl.transformer.encoder.block.0.{half}.weight": torch.ones(4, 4) for half in ("lora_up", "lora_down")}
    save_file(weights | t5, tmp_path / "t5.safetensors")
    with pytest.raises(UsageProblem, match=r"leaves out for FluxPipeline: text_encoders\.t5xxl"):
        merge_lora(diffusers.DiffusionPipeline.from_pretrained(pipeline("flux")), tmp_path / "t5.safetensors", 1.0)


def test_a_scale_beyond_all_numbers_is_named(pipeline: PipelineFolder, tmp_path: Path) -> None:
    whole = next(lora(pipeline("sd"), tmp_path / "lora").iterdir())
    with pytest.raises(UsageProblem, match=r"^images\.lora_scale: .* no numbers; lower it"):
        merge_lora(diffusers.DiffusionPipeline.from_pretrained(pipeline("sd")), whole, 1e38 * 10)
