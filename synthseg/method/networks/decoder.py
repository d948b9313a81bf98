"""The light decoder: the only weights that ever see synthetic pixels.

Per-layer MLPs bring each block's tokens to one width; concatenated and mixed by a 1x1 convolution they pass a few transformer
blocks and a linear classifier. Each encoder has its own entry; all else is shared, and predictions are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from synthseg.method.networks.tower import Grid, join_heads, split_heads, to_grid

NUM_HEADS = 8
DROPOUT = 0.1


def draw_dropout(num_encoders: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """What one image's channels (E, width) are multiplied by: whole channels fall out, as dropout2d does on a feature map.

    It is drawn for each image by itself, so that it does not depend on the images beside it.
    """
    kept = rng.random((num_encoders, width)) >= DROPOUT
    return kept.astype(np.float32) / np.float32(1 - DROPOUT)


class Entry(nn.Module):
    """One encoder's layers [(B, N, C_l)] to fused features (B, N, width)."""

    def __init__(self, layer_widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(size), nn.Linear(size, width), nn.GELU(), nn.Linear(width, width)) for size in layer_widths
        )
        self.fuse = nn.Linear(width * len(layer_widths), width)

    def forward(self, tokens: Sequence[Tensor], keep: Tensor | None = None) -> Tensor:
        """Fused features; `keep` (B, width) is what each channel of an image is multiplied by."""
        joined = torch.cat([layer(x) for layer, x in zip(self.layers, tokens, strict=True)], dim=-1)
        fused: Tensor = self.fuse(joined)
        return fused if keep is None else fused * keep[:, None]


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same."""
        q, k, v = (split_heads(part, NUM_HEADS) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        attended: Tensor = x + self.out(join_heads(F.scaled_dot_product_attention(q, k, v)))
        widened: Tensor = self.mlp(self.norm2(attended))
        return attended + widened


class Decoder(nn.Module):
    """Logits over K + 1 classes on the token grid. `width` must be a multiple of 8."""

    def __init__(self, layer_widths: Sequence[Sequence[int]], num_classes: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.entries = nn.ModuleList(Entry(widths, width) for widths in layer_widths)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(num_blocks)))
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, num_classes + 1)

    def forward(self, layers: Sequence[Sequence[Tensor]], grid: Grid, keep: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """For each encoder: logits (B, K + 1, h, w) and the fused features (B, N, width) before the blocks.

        Dropout is `keep` (B, E, width) for E encoders, as `draw_dropout` draws it.
        """
        logits, fused = [], []
        for number, (entry, tokens) in enumerate(zip(self.entries, layers, strict=True)):
            mixed = entry(tokens, None if keep is None else keep[:, number])
            fused.append(mixed)
            logits.append(to_grid(self.classify(self.norm(self.blocks(mixed))).transpose(1, 2), grid))
        return logits, fused
