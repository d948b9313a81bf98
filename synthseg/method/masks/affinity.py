"""Affinity: what one patch says is carried to the patches that belong to it.

CAA (CLIP-ES): the mean attention of the last blocks, made doubly stochastic by Sinkhorn, symmetric, squared.
CDA (CD-CLIP): the same attention, weighted by how alike two patches distribute over the classes,
softmax((1 - JS(p_i, p_j)) / tau) with p = softmax of the min-max scaled cosines to all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from synthseg.method.masks.seeds import min_max

AffinityKind = Literal["none", "caa", "cda"]

SINKHORN_ITERATIONS = 3
CDA_CHUNK = 64
"""Rows of patches whose divergence to all others is computed at once: bounds memory at N * chunk * T floats an image."""


def sinkhorn(matrix: Tensor) -> Tensor:
    """(B, N, N) non-negative, after three row and column normalisations."""
    for _ in range(SINKHORN_ITERATIONS):
        matrix = matrix / matrix.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        matrix = matrix / matrix.sum(dim=-2, keepdim=True).clamp_min(1e-12)
    return matrix


def attention_affinity(attention: Sequence[Tensor]) -> Tensor:
    """CAA, (B, N, N), rows summing to 1, from head-mean attentions (B, N, N) of the last blocks."""
    balanced = sinkhorn(torch.stack(list(attention)).mean(dim=0))
    symmetric = (balanced + balanced.transpose(-2, -1)) / 2
    return _row_stochastic(symmetric @ symmetric)


def class_distribution_affinity(attention: Sequence[Tensor], dense: Tensor, prototypes: Tensor, tau: float) -> Tensor:
    """CDA, (B, N, N), rows summing to 1: `attention_affinity` weighted by the likeness of class distributions."""
    likeness: Tensor = ((1 - jensen_shannon(min_max(dense @ prototypes.T, dim=1).softmax(dim=-1))) / tau).softmax(dim=-1)
    return _row_stochastic(likeness * attention_affinity(attention))


def jensen_shannon(distributions: Tensor) -> Tensor:
    """Pairwise divergence (B, N, N) in nats of distributions (B, N, T) without zeros."""
    entropy: Tensor = -(distributions * distributions.log()).sum(dim=-1)
    rows = []
    for start in range(0, distributions.shape[1], CDA_CHUNK):
        mixed = (distributions[:, start : start + CDA_CHUNK, None] + distributions[:, None]) / 2
        rows.append(-torch.einsum("bijt,bijt->bij", mixed, mixed.log()))
    mixed_entropy = torch.cat(rows, dim=1)
    return mixed_entropy - (entropy[:, :, None] + entropy[:, None]) / 2


def affinity_matrix(kind: AffinityKind, attention: Sequence[Tensor], dense: Tensor, prototypes: Tensor, tau: float) -> Tensor | None:
    """The chosen affinity (B, N, N); None for `none`."""
    if kind == "none":
        return None
    return attention_affinity(attention) if kind == "caa" else class_distribution_affinity(attention, dense, prototypes, tau)


def box_mask(seed: Tensor, grid: tuple[int, int], threshold: float) -> Tensor:
    """(h * w) of 0 and 1: inside the bounding boxes of the connected parts of a seed (h * w) above threshold * max."""
    scores = seed.reshape(grid).float().cpu().numpy()
    num_parts, _, stats, _ = cv2.connectedComponentsWithStats((scores >= threshold * scores.max()).astype(np.uint8), connectivity=8)
    mask = np.zeros(grid, dtype=np.float32)
    for x, y, width, height, _ in stats[1:num_parts]:
        mask[y : y + height, x : x + width] = 1
    return torch.from_numpy(mask.reshape(-1)).to(seed.device)


def propagate(affinity: Tensor, seeds: Tensor, grid: tuple[int, int], power: int, box_threshold: float) -> Tensor:
    """A^t s for one image: seeds (C, N) in [0, 1] to cams (C, N) in [0, 1]; A (N, N), its columns masked by each seed's boxes."""
    if len(seeds) == 0:
        return seeds
    carried = torch.stack([seed * box_mask(seed, grid, box_threshold) for seed in seeds]).T
    for _ in range(power):
        carried = affinity @ carried
    return min_max(carried.T)


def _row_stochastic(matrix: Tensor) -> Tensor:
    return matrix / matrix.sum(dim=-1, keepdim=True).clamp_min(1e-12)
