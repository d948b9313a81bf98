"""A small run and small random image towers of both kinds, for the tests of models and of their training.

Ray's workers import this module too, so it holds no fixtures.
"""

from __future__ import annotations

from typing import Any

import open_clip
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import nn

from synthseg.config.schema import RunConfig
from synthseg.method.networks.clip_loading import LoadedClip
from synthseg.method.networks.frozen import FrozenParts, load_frozen


def native_clip() -> nn.Module:
    """open_clip's own ViT: 32 px, 8 px patches, class token."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=3, width=64, head_width=16, patch_size=8, image_size=32)
    return open_clip.CLIP(32, vision, CLIPTextCfg(context_length=16, vocab_size=49408, width=32, heads=2, layers=1)).eval()


def timm_clip(class_token: bool) -> nn.Module:
    """The same with a timm trunk and a linear head; without class token it pools by average."""
    model = native_clip()
    trunk = timm.models.VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=3,
        num_heads=4,
        class_token=class_token,
        global_pool="token" if class_token else "avg",
        num_classes=0,
    )
    model.visual = _TimmVisual(trunk)
    return model.eval()


class _TimmVisual(nn.Module):
    """What open_clip's TimmModel looks like from outside."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head, self.image_size = trunk, nn.Sequential(nn.Linear(64, 32, bias=False)), (32, 32)
        for parameter in self.trunk.parameters():
            nn.init.normal_(parameter, std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x))


KINDS = {"native": native_clip, "timm": lambda: timm_clip(False), "timm class token": lambda: timm_clip(True)}


def small_config(*classes: str, **segmenter: Any) -> RunConfig:
    """A run of `classes` (three when none is named) at 32 px with a decoder of 16 channels; `segmenter` changes that section."""
    return RunConfig.model_validate(
        {
            "preset": "test",
            "taxonomy": "voc",
            "classes": classes or ("cat", "dog", "horse"),
            "prompts": {"engine": "template", "prompts_per_class": 1},
            "images": {"engine": "painter", "width": 32, "height": 32},
            "scoring": {"model": "embedded"},
            "classifier": {"model": "embedded", "image_size": 32, "epochs": 1, "batch_size": 4, "learning_rate": 1e-3},
            "relabel": {},
            "segmenter": {
                "mode": "clip_only",
                "clip_model": "embedded",
                "crop_size": 32,
                "iterations": 6,
                "batch_size": 4,
                "learning_rate": 1e-3,
                "decoder_width": 16,
                "decoder_blocks": 1,
                "par_iterations": 2,
                "affinity_radius": 2,
                "precision": "fp32",
                **segmenter,
            },
            "evaluation": {"dataset": "field"},
            "execution": {},
        }
    )


def random_parts(config: RunConfig, device: torch.device) -> FrozenParts:
    """Frozen parts around a random tower, the same in every process."""
    model = timm_clip(False)
    loaded = LoadedClip(model, open_clip.get_tokenizer("ViT-B-32", context_length=16), (0.5,) * 3, (0.25,) * 3, (32, 32), "test")
    return load_frozen(config, device, loaded)
