"""Small text-to-image pipelines with random weights in diffusers' own format: folders of safetensors, configs and tokenizers.

One builder a family. Sides of their images are multiples of 8 (Stable Diffusion, SDXL) or 16 (FLUX, Z-Image) pixels, as with the real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn

from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import Kind, draw_slots
from synthseg.taxonomy import taxonomy

CONTEXT = 77
_LATENTS = 4
_KINDS: tuple[Kind, ...] = ("target", "bare", "context")
_TOKENS = ("<|startoftext|>", "<|endoftext|>")
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)


_RESNET_NAMES = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"time_emb_proj", "emb_layers.1"),
    (r"conv_shortcut", "skip_connection"),
)
_UNET_NAMES = (
    *((rf"((?:resnets)\.\d+.*){pattern}", rf"\1{new}") for pattern, new in _RESNET_NAMES),
    (r"^conv_in", "input_blocks.0.0"),
    (r"^time_embedding\.linear_1", "time_embed.0"),
    (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^add_embedding\.linear_1", "label_emb.0.0"),
    (r"^add_embedding\.linear_2", "label_emb.0.2"),
    (r"^down_blocks\.0\.resnets\.0", "input_blocks.1.0"),
    (r"^down_blocks\.0\.downsamplers\.0\.conv", "input_blocks.2.0.op"),
    (r"^down_blocks\.1\.resnets\.0", "input_blocks.3.0"),
    (r"^down_blocks\.1\.attentions\.0", "input_blocks.3.1"),
    (r"^mid_block\.resnets\.0", "middle_block.0"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
    (r"^mid_block\.resnets\.1", "middle_block.2"),
    (r"^up_blocks\.0\.resnets\.(\d)", r"output_blocks.\1.0"),
    (r"^up_blocks\.0\.attentions\.(\d)", r"output_blocks.\1.1"),
    (r"^up_blocks\.0\.upsamplers\.0\.conv", "output_blocks.1.2.conv"),
    (r"^up_blocks\.1\.resnets\.0", "output_blocks.2.0"),
    (r"^up_blocks\.1\.resnets\.1", "output_blocks.3.0"),
    (r"^conv_norm_out", "out.0"),
    (r"^conv_out", "out.2"),
)
"""Our U-Net's names (two blocks of one layer) to those of the original program of Stable Diffusion, rule upon rule."""
_VAE_NAMES = (
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    *((rf"up_blocks\.{i}\.resnets\.(\d)", rf"up.{3 - i}.block.\1") for i in range(4)),
    *((rf"up_blocks\.{i}\.upsamplers\.0", f"up.{3 - i}.upsample") for i in range(4)),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
)

_OPEN_CLIP_NAMES = (
    (r"^text_model\.", ""),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^embeddings\.token_embedding", "token_embedding"),
    (r"^final_layer_norm", "ln_final"),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"layer_norm(\d)", r"ln_\1"),
    (r"\.fc1\.", ".c_fc."),
    (r"\.fc2\.", ".c_proj."),
    (r"\.self_attn\.", ".attn."),
)


def stable_diffusion(folder: Path, *, safety_threshold: float | None = None, **unet_changes: Any) -> Path:
    """Stable Diffusion 1.x: UNet, CLIP text encoder; `safety_threshold` adds its checker, which flags images above that cosine."""
    torch.manual_seed(0)
    vae, text_encoder, unet = _vae(), _clip_text(32), _unet(cross_attention_dim=32, **unet_changes)
    checker, extractor = (None, None) if safety_threshold is None else _safety_checker(safety_threshold)
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_clip_tokenizer(),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
        safety_checker=checker,
        feature_extractor=extractor,
        requires_safety_checker=checker is not None,
    ).save_pretrained(folder)
    return folder


def single_file(pipeline: Path, path: Path) -> Path:
    """The weights of a Stable Diffusion or SDXL `pipeline` in one file, under the original programs' names, as model sites offer it."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline)
    weights = _renamed("model.diffusion_model.", pipe.unet, _UNET_NAMES) | _renamed("first_stage_model.", pipe.vae, _VAE_NAMES)
    first = "conditioner.embedders.0.transformer" if hasattr(pipe, "text_encoder_2") else "cond_stage_model.transformer"
    weights |= _renamed(f"{first}.text_model.", pipe.text_encoder, ((r"^text_model\.", ""),))
    if hasattr(pipe, "text_encoder_2"):
        weights |= _open_clip("conditioner.embedders.1.model.", pipe.text_encoder_2)
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


def _renamed(prefix: str, part: Any, rules: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    """The weights of a network under other names. The attention of old VAEs is made of convolutions."""
    made = {}
    for name, value in part.state_dict().items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901 - rule upon rule
        made[prefix + name] = value[..., None, None] if ".attn_1." in name and value.ndim == 2 else value
    return made


def _open_clip(prefix: str, encoder: Any) -> dict[str, torch.Tensor]:
    """A CLIP text encoder under open_clip's names, whose attention holds query, key and value in one weight."""
    made = _renamed(prefix, encoder, _OPEN_CLIP_NAMES)
    made[f"{prefix}text_projection"] = made.pop(f"{prefix}text_projection.weight").T
    for name in [name for name in made if ".q_proj." in name]:
        of = [made.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        made[name.replace(".q_proj.", ".in_proj_")] = torch.cat(of)
    return made


def sdxl(folder: Path) -> Path:
    """Stable Diffusion XL: two text encoders, pooled text and size conditioning."""
    torch.manual_seed(0)
    config = _clip_config(48)
    diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip_text(32),
        text_encoder_2=transformers.CLIPTextModelWithProjection(config),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=_unet(
            cross_attention_dim=32 + 48,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + config.projection_dim,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
    ).save_pretrained(folder)
    return folder


def flux(folder: Path) -> Path:
    """FLUX.1-schnell: a rectified-flow transformer over packed latents, CLIP and T5 text encoders."""
    torch.manual_seed(0)
    t5 = transformers.T5Config(vocab_size=1000, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=_vae(shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip_text(32),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=transformers.T5EncoderModel(t5),
        tokenizer_2=transformers.T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *_pieces()], extra_ids=0),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=4 * _LATENTS,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
    ).save_pretrained(folder)
    return folder


def z_image(folder: Path) -> Path:
    """Z-Image-Turbo: a single-stream transformer, a Qwen3 text encoder with a chat template."""
    torch.manual_seed(0)
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate((*pre_tokenizers.ByteLevel.alphabet(), "<|endoftext|>"))}, merges=[]
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHAT
    qwen = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=_LATENTS,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 64, 64],
    )
    with torch.no_grad():  # the pad tokens are made uninitialised
        transformer.x_pad_token.normal_(std=0.02)
        transformer.cap_pad_token.normal_(std=0.02)
    diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=transformers.Qwen3Model(qwen),
        tokenizer=tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {"sd": stable_diffusion, "sdxl": sdxl, "flux": flux, "z-image": z_image}


def lora(pipeline: Path, folder: Path, seed: int = 1) -> Path:
    """A LoRA of rank 4 with random weights for the denoiser of a Stable Diffusion `pipeline`, as peft and diffusers save it."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline)
    pipe.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False))
    torch.manual_seed(seed)
    weights = {name: torch.randn_like(tensor) * 0.3 for name, tensor in get_peft_model_state_dict(pipe.unet).items()}
    diffusers.StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=weights)
    return folder


def safety_checker(folder: Path, threshold: float) -> Path:
    """A checker of its own, as hubs hold it: weights, config and preprocessing in one folder."""
    torch.manual_seed(0)
    model, extractor = _safety_checker(threshold)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _vae(**changes: Any) -> Any:
    settings = {"block_out_channels": [8, 8, 16, 16], "latent_channels": _LATENTS, "norm_num_groups": 4, "sample_size": 64, **changes}
    return diffusers.AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, **settings)


def _unet(**changes: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=8,
        norm_num_groups=8,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **changes,
    )


def _clip_config(width: int) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(_clip_tokenizer()),
        hidden_size=width,
        projection_dim=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=_clip_tokenizer().bos_token_id,
        eos_token_id=_clip_tokenizer().eos_token_id,
        pad_token_id=_clip_tokenizer().pad_token_id,
    )


def _clip_text(width: int) -> Any:
    return transformers.CLIPTextModel(_clip_config(width))


def _clip_tokenizer() -> Any:
    """CLIP's byte-level BPE with merges for the words of captions, so that a caption has about as many tokens as with the real one."""
    vocab, merges = _clip_vocabulary()
    return transformers.CLIPTokenizer(vocab=dict(vocab), merges=list(merges), model_max_length=CONTEXT)


@cache
def _clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    rng = np.random.default_rng(0)
    captions = [
        draw_slots(profile(info), kind, rng).text().lower() for info in taxonomy("voc").classes for kind in _KINDS for _ in range(10)
    ]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=1000, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False)
    bpe.train_from_iterator(captions, trainer)
    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = dict.fromkeys((*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges), *_TOKENS))
    return {token: i for i, token in enumerate(tokens)}, merges


def _pieces() -> list[tuple[str, float]]:
    return [(piece, -3.0) for piece in ("▁", *"abcdefghijklmnopqrstuvwxyz0123456789.,")]


def _safety_checker(threshold: float) -> tuple[Any, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 37,
        "image_size": 32,
        "patch_size": 8,
    }
    checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=16))
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        nn.init.constant_(getattr(checker, name), threshold)
    size = {"height": 32, "width": 32}
    return checker, transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
