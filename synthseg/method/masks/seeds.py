"""Seeds: where in the image each class is, by the text space alone.

s_{i,c} = sum_d w_c F_{i,d} T_{c,d} minus its mean over all texts, w = softmax(2 f . T) / mean (feature surgery: what every text
lights up says nothing of a class). F are the patch features, f the image's embedding, T the prototypes with the background words.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from synthseg.method.networks.tower import Grid, to_grid

TEXT_TEMPERATURE = 2.0


def raw_seeds(dense: Tensor, pooled: Tensor, prototypes: Tensor) -> Tensor:
    """Scores (B, N, T) of patches (B, N, D), image embeddings (B, D) and texts (T, D), all unit rows."""
    weights = (TEXT_TEMPERATURE * pooled @ prototypes.T).softmax(dim=-1)
    weights = weights / weights.mean(dim=-1, keepdim=True)
    scores = (dense @ prototypes.T) * weights[:, None]
    return scores - scores.mean(dim=-1, keepdim=True)


def min_max(maps: Tensor, dim: int = -1) -> Tensor:
    """Each map stretched to [0, 1] along `dim`; a constant map becomes 0."""
    low, high = maps.amin(dim, keepdim=True), maps.amax(dim, keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-6)


def strongest_text(raw: Tensor) -> Tensor:
    """Index (B, N) of the text with the highest raw seed at each patch."""
    return raw.argmax(dim=-1)


def resize_maps(maps: Tensor, source: Grid, target: Grid) -> Tensor:
    """Maps (B, h * w, T) on `source` to (B, h' * w', T) on `target`, bilinear."""
    if source == target:
        return maps
    grid = to_grid(maps.transpose(1, 2), source)
    return F.interpolate(grid, size=target, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)


def flip_maps(maps: Tensor, grid: Grid) -> Tensor:
    """Maps (B, h * w, T) mirrored left to right."""
    return to_grid(maps.transpose(1, 2), grid).flip(-1).flatten(2).transpose(1, 2)
