"""The frozen encoders: tokens of every block, attention, and patch features in the text space by a second, gradient-free path.

The second path (the local alignment module of ExCEL, after CLIP Surgery): in the last n blocks patches attend by
1/3 (softmax(qq'/sqrt d) + softmax(kk'/sqrt d) + softmax(vv'/sqrt d)), residuals add up without the MLP, the original path stays
as it is, and the last norm and projection bring the sum into the text space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthseg.machine.precision import Setting, autocast
from synthseg.method.networks.tower import Grid, Tower, clip_tower

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Normalization = Literal["clip", "imagenet"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder says of a batch of B images with h * w = N patches."""

    tokens: list[Tensor]
    """(B, N, C): the patches before the first block, then after each block."""
    attention: list[Tensor]
    """(B, N, N), mean over heads, patch to patch: the last blocks that were asked for, in order; none where it was not asked for."""
    dense: Tensor
    """(B, N, D) patch features in the text space, unit length."""
    pooled: Tensor
    """(B, D) image embedding, unit length."""
    grid: Grid


class FrozenEncoder(nn.Module):
    """Tokens of every block of a frozen tower, for the decoder. Images are RGB in [0, 1], (B, 3, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, tower: Tower, modules: nn.Module, mean: Sequence[float], std: Sequence[float], precision: Setting) -> None:
        super().__init__()
        self._modules_held = modules.eval().requires_grad_(False)
        self.tower = tower
        self.precision = precision
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def stride(self) -> int:
        """Pixels a patch, each way."""
        return self.tower.stride

    @property
    def layer_widths(self) -> list[int]:
        """Width of each entry of `layers`."""
        return [self.tower.width] * (len(self.tower.blocks) + 1)

    def train(self, mode: bool = True) -> FrozenEncoder:  # noqa: ARG002
        """Stays in evaluation mode whatever `mode` is: it is frozen."""
        super().train(False)
        return self

    def autocast(self) -> torch.autocast:
        """The context in which this encoder computes, and what is built on it should."""
        return autocast(self.precision, self.mean.device)

    def _embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        return self.tower.embed((images - self.mean) / self.std)

    @torch.no_grad()
    def layers(self, images: Tensor) -> tuple[list[Tensor], Grid]:
        """Patch tokens (B, N, C) before the first and after each block, and the grid (h, w)."""
        skip = self.tower.num_prefix
        with self.autocast():
            x, grid = self._embed(images)
            tokens = [x[:, skip:]]
            for block in self.tower.blocks:
                x = x + block.merge(F.scaled_dot_product_attention(*block.qkv(x)))
                x = x + block.feed_forward(x)
                tokens.append(x[:, skip:])
        return tokens, grid


class FrozenClipEncoder(FrozenEncoder):
    """An open_clip model's image tower, frozen, over both native and timm transformers.

    `seed_blocks` is the length of the second path (0 takes the last tokens as they are: right for towers trained with average
    pooling, whose patches live in the text space already); `affinity_blocks` is how many of the last blocks' attentions are kept.
    """

    def __init__(
        self,
        clip_model: nn.Module,
        seed_blocks: int = 5,
        affinity_blocks: int = 8,
        normalization: Normalization = "clip",
        precision: Setting = "auto",
    ) -> None:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalization == "imagenet" else own_statistics(clip_model)
        super().__init__(clip_tower(clip_model), cast(nn.Module, clip_model.visual), mean, std, precision)
        depth = len(self.tower.blocks)
        self.seed_blocks = min(seed_blocks, depth)
        self.affinity_blocks = min(affinity_blocks, depth)

    @torch.no_grad()
    def encode(self, images: Tensor, *, attention: bool = True) -> Encoded:
        """Everything at once, for seeds and affinity; affinity alone needs `attention`, which takes the memory of all pairs of tokens.
        UsageProblem where a side is no multiple of the stride.
        """
        skip, depth = self.tower.num_prefix, len(self.tower.blocks)
        first_kept = depth - self.affinity_blocks if attention else depth
        attentions: list[Tensor] = []
        second: Tensor | None = None
        with self.autocast():
            x, grid = self._embed(images)
            tokens = [x[:, skip:]]
            for index, block in enumerate(self.tower.blocks):
                q, k, v = block.qkv(x)
                if index >= first_kept:
                    attentions.append(softmax_attention(q, k).float().mean(dim=1)[:, skip:, skip:])
                if index >= depth - self.seed_blocks:
                    by_q, by_k, by_v = (F.scaled_dot_product_attention(t, t, v) for t in (q, k, v))
                    second = (x if second is None else second) + block.merge((by_q + by_k + by_v) / 3)
                x = x + block.merge(F.scaled_dot_product_attention(q, k, v))
                x = x + block.feed_forward(x)
                tokens.append(x[:, skip:])
            dense = self.tower.project((x if second is None else second)[:, skip:])
            pooled = self.tower.pool(x)
        return Encoded(tokens, attentions, F.normalize(dense.float(), dim=-1), F.normalize(pooled.float(), dim=-1), grid)


def softmax_attention(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k' / sqrt d), (B, heads, N, N)."""
    logits: Tensor = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return logits.softmax(dim=-1)


def own_statistics(clip_model: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation that the model was trained with; OpenAI's where it does not say."""
    settings = getattr(clip_model.visual, "preprocess_cfg", None) or {}
    return settings.get("mean") or CLIP_MEAN, settings.get("std") or CLIP_STD
