"""The image tower of the embedded CLIP: residual convolutions to stride 8, then a few attention blocks, average pooling.

Importing this module registers `synthseg_hybrid_s8` with timm, so that open_clip builds it from `timm_model_name`. From scratch
and on few samples convolutions learn shape far sooner than patches do (He et al., arXiv 1512.03385; Xiao et al.,
arXiv 2106.14881); the blocks on top give the attention that affinity is read from. The last norm comes before the pooling and
the head is linear, so the mean of the projected tokens is the image embedding: patches live in the text space.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from timm.layers.hybrid_embed import HybridEmbed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

MODEL_NAME = "synthseg_hybrid_s8"
STRIDE = 8
STAGE_WIDTHS = (32, 64, 160)
"""Channels at strides 2, 4 and 8."""
STAGE_BLOCKS = (1, 3)
"""Residual blocks at strides 4 and 8."""
NATIVE_SIZE = 128


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; halves the resolution when `stride` is 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        return cast(Tensor, self.activation(self.second(self.first(x)) + self.shortcut(x)))


class ConvStages(nn.Module):
    """Residual stages, (B, 3, H, W) to (B, 160, H / 8, W / 8)."""

    num_features = STAGE_WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        width = STAGE_WIDTHS[0]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        for next_width, num_blocks in zip(STAGE_WIDTHS[1:], STAGE_BLOCKS, strict=True):
            for index in range(num_blocks):
                layers.append(ResidualBlock(width, next_width, 2 if index == 0 else 1))
                width = next_width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features at stride 8."""
        return cast(Tensor, self.layers(x))


@register_model
def synthseg_hybrid_s8(pretrained: bool = False, num_classes: int = 0, **kwargs: Any) -> VisionTransformer:
    """The tower as a timm VisionTransformer of any input size that is a multiple of 8; native 128 x 128 gives 16 x 16 tokens."""
    if pretrained:
        raise ValueError(f"{MODEL_NAME} has no weights of its own; load them through open_clip")
    kwargs = {key: value for key, value in kwargs.items() if not key.startswith("pretrained") and key != "cache_dir"}
    model = VisionTransformer(
        img_size=kwargs.pop("img_size", NATIVE_SIZE),
        patch_size=1,
        embed_layer=partial(HybridEmbed, backbone=ConvStages()),
        embed_dim=192,
        depth=3,
        num_heads=3,
        mlp_ratio=2.0,
        class_token=False,
        global_pool=kwargs.pop("global_pool", "avg"),
        fc_norm=False,
        dynamic_img_size=True,
        num_classes=num_classes,
        **kwargs,
    )
    for block in model.blocks:
        # At 144 to 256 tokens on one CPU thread the plain matrix products train 1.4 times faster than the fused kernel.
        cast(Any, block).attn.fused_attn = False
    cast(Any, model).default_cfg = cast(Any, model).pretrained_cfg = {
        "architecture": MODEL_NAME,
        "input_size": (3, NATIVE_SIZE, NATIVE_SIZE),
        "num_classes": 0,
    }
    return model
