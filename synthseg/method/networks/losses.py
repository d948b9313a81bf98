"""What the decoder learns from: pseudo masks, pairs of patches, and the other encoder's opinion.

L = 1/2 (CE_bg + CE_fg) + Dice + w_aff L_aff + w_con [CE(S_1, argmax S_2) + CE(S_2, argmax S_1)]; pixels of value 255 count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from synthseg.taxonomy import BACKGROUND_ID, VOID_ID


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the affinity and consistency terms, and the affinity radius in patches."""

    affinity: float
    consistency: float
    affinity_radius: int


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars; `total` is what is minimised."""

    total: Tensor
    cross_entropy: Tensor
    dice: Tensor
    affinity: Tensor
    consistency: Tensor


def decoder_losses(logits: Sequence[Tensor], fused: Sequence[Tensor], target: Tensor, weights: LossWeights) -> Losses:
    """Losses of one encoder or two: logits (B, K + 1, H, W) and fused features (B, N, C) each, `target` (B, H, W) of class indices."""
    mean = mean_of(logits)
    cross_entropy = balanced_cross_entropy(mean, target)
    dice = dice_loss(mean, target)
    affinity = mean.new_zeros(())
    if weights.affinity:
        affinity = torch.stack([affinity_loss(f, target, weights.affinity_radius) for f in fused]).mean()
    consistency = consistency_loss(logits[0], logits[1]) if len(logits) == 2 and weights.consistency else mean.new_zeros(())
    total = cross_entropy + dice + weights.affinity * affinity + weights.consistency * consistency
    return Losses(total, cross_entropy, dice, affinity, consistency)


def mean_of(maps: Sequence[Tensor]) -> Tensor:
    """Mean of maps of one shape; no copy where there is one."""
    return maps[0] if len(maps) == 1 else torch.stack(list(maps)).mean(dim=0)


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Half the mean over background pixels plus half the mean over class pixels; a side without pixels adds 0."""
    each = F.cross_entropy(logits, target, ignore_index=VOID_ID, reduction="none")
    background = target == BACKGROUND_ID
    foreground = ~background & (target != VOID_ID)
    sides = [(each * side).sum() / side.sum().clamp_min(1) for side in (background, foreground)]
    return (sides[0] + sides[1]) / 2


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice, mean over the classes (background included) that occur in the batch."""
    valid = target != VOID_ID
    labels, weights = target.where(valid, 0), valid.to(logits.dtype)
    probs = logits.softmax(dim=1)
    # Sums over pixels without a map a class: one product for the sizes, and of the overlap only what a pixel's own class adds.
    num_classes = logits.shape[1]
    counts = torch.bincount(labels[valid], minlength=num_classes).to(logits.dtype)
    sizes = (probs.flatten(2) @ weights.flatten(1)[:, :, None]).sum(dim=0)[:, 0] + counts
    own = probs.gather(1, labels[:, None])[:, 0] * weights
    overlap = own.new_zeros(num_classes).index_add(0, labels.flatten(), own.flatten())
    occurs = counts > 0
    each: Tensor = (1 - 2 * overlap / sizes.clamp_min(1e-6)) * occurs
    return each.sum() / occurs.sum().clamp_min(1)


def affinity_loss(fused: Tensor, target: Tensor, radius: int) -> Tensor:
    """Pairs of patches within `radius`: mean (1 - A) where labels agree plus mean A where they differ.

    A = sigmoid(F' F / sqrt C) of fused features (B, N, C); scaling by the width keeps the sigmoid out of saturation at the start.
    `target` (B, H, W) is read at the patch centres of the grid that N implies by the target's shape.
    """
    num_patches = fused.shape[1]
    height = round((num_patches * target.shape[-2] / target.shape[-1]) ** 0.5)
    grid = (height, num_patches // height)
    labels = F.interpolate(target[:, None].float(), size=grid, mode="nearest-exact").flatten(1)
    near = _pairs_within(grid, radius).to(fused.device)
    valid = labels != VOID_ID
    pairs = near & valid[:, :, None] & valid[:, None]
    same = labels[:, :, None] == labels[:, None]
    affinity = (fused @ fused.transpose(-2, -1) * fused.shape[-1] ** -0.5).float().sigmoid()
    positive, negative = pairs & same, pairs & ~same
    attract: Tensor = ((1 - affinity) * positive).sum() / positive.sum().clamp_min(1)
    repel: Tensor = (affinity * negative).sum() / negative.sum().clamp_min(1)
    return attract + repel


def consistency_loss(first: Tensor, second: Tensor) -> Tensor:
    """Each encoder's prediction learns the other's hard labels; logits (B, K + 1, H, W)."""
    return F.cross_entropy(first, second.detach().argmax(dim=1)) + F.cross_entropy(second, first.detach().argmax(dim=1))


def own_labels(logits: Tensor, target: Tensor, allowed: Tensor, confidence: float) -> Tensor:
    """`target` (B, H, W) with the model's own label wherever its highest probability is above `confidence`.

    `allowed` (B, K + 1) is false for classes known to be absent from the image: no pixel may take them.
    """
    probs = logits.detach().masked_fill(~allowed[:, :, None, None], -torch.inf).softmax(dim=1)
    best, label = probs.max(dim=1)
    return torch.where(best > confidence, label, target)


@cache
def _pairs_within(grid: tuple[int, int], radius: int) -> Tensor:
    """(N, N): patches at most `radius` apart, without themselves."""
    ys, xs = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    points = torch.stack([ys.flatten(), xs.flatten()], dim=1).float()
    distance = torch.cdist(points, points)
    return (distance <= radius) & (distance > 0)
