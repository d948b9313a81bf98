"""What the decoder learns from: pseudo masks, pairs of patches, and the other encoder's opinion.

L = 1/2 (CE_bg + CE_fg) + Dice + w_aff L_aff + w_con [CE(S_1, argmax S_2) + CE(S_2, argmax S_1)]; pixels of value 255 count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from synthseg.taxonomy import BACKGROUND_ID, VOID_ID

OverBatch = Callable[[Tensor], Tensor]
"""Turns sums over some images of a batch into sums over all of it."""


def _alone(sums: Tensor) -> Tensor:
    """These images are the whole batch."""
    return sums


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


def decoder_losses(
    logits: Sequence[Tensor], fused: Sequence[Tensor], target: Tensor, weights: LossWeights, over_batch: OverBatch = _alone
) -> Losses:
    """Losses of one encoder or two: logits (B, K + 1, H, W) and fused features (B, N, C) each, `target` (B, H, W) of class indices.

    All are ratios of sums over a batch. Where these images are one worker's part of it, `over_batch` adds up the sums of all workers.
    """
    mean = mean_of(logits)
    terms = [_cross_entropy_sums(mean, target), _dice_sums(mean, target)]
    if weights.affinity:
        terms += [_affinity_sums(f, target, weights.affinity_radius) for f in fused]
    if is_consistent := len(logits) == 2 and bool(weights.consistency):
        terms.append(_consistency_sums(logits[0], logits[1]))
    whole = over_batch(torch.cat([term.double() for term in terms])).to(mean.dtype)
    sums = list(torch.split(whole, [len(term) for term in terms]))
    consistency = _consistency(sums.pop()) if is_consistent else mean.new_zeros(())
    cross_entropy, dice = _cross_entropy(sums[0]), _dice(sums[1])
    affinity = torch.stack([_affinity(pairs) for pairs in sums[2:]]).mean() if weights.affinity else mean.new_zeros(())
    total = cross_entropy + dice + weights.affinity * affinity + weights.consistency * consistency
    return Losses(total, cross_entropy, dice, affinity, consistency)


def mean_of(maps: Sequence[Tensor]) -> Tensor:
    """Mean of maps of one shape; no copy where there is one."""
    return maps[0] if len(maps) == 1 else torch.stack(list(maps)).mean(dim=0)


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Half the mean over background pixels plus half the mean over class pixels; a side without pixels adds 0."""
    return _cross_entropy(_cross_entropy_sums(logits, target))


def _cross_entropy_sums(logits: Tensor, target: Tensor) -> Tensor:
    """(4,): cross entropy of all background pixels and of all class pixels, and how many there are."""
    each = F.cross_entropy(logits, target, ignore_index=VOID_ID, reduction="none")
    background = target == BACKGROUND_ID
    foreground = ~background & (target != VOID_ID)
    sides = (background, foreground)
    return torch.stack([*((each * side).sum() for side in sides), *(side.sum().to(each.dtype) for side in sides)])


def _cross_entropy(sums: Tensor) -> Tensor:
    return (sums[:2] / sums[2:].clamp_min(1)).sum() / 2


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice, mean over the classes (background included) that occur in the batch."""
    return _dice(_dice_sums(logits, target))


def _dice_sums(logits: Tensor, target: Tensor) -> Tensor:
    """(3 (K + 1),): of each class the probability on its own pixels, the probability on all pixels, and its number of pixels."""
    valid = target != VOID_ID
    labels, weights = target.where(valid, 0), valid.to(logits.dtype)
    probs = logits.softmax(dim=1)
    # Sums over pixels without a map a class: one product for the sizes, and of the overlap only what a pixel's own class adds.
    num_classes = logits.shape[1]
    counts = torch.bincount(labels[valid], minlength=num_classes).to(logits.dtype)
    sizes = (probs.flatten(2) @ weights.flatten(1)[:, :, None]).sum(dim=0)[:, 0]
    own = probs.gather(1, labels[:, None])[:, 0] * weights
    overlap = own.new_zeros(num_classes).index_add(0, labels.flatten(), own.flatten())
    return torch.cat([overlap, sizes, counts])


def _dice(sums: Tensor) -> Tensor:
    overlap, sizes, counts = sums.chunk(3)
    occurs = counts > 0
    each: Tensor = (1 - 2 * overlap / (sizes + counts).clamp_min(1e-6)) * occurs
    return each.sum() / occurs.sum().clamp_min(1)


def affinity_loss(fused: Tensor, target: Tensor, radius: int) -> Tensor:
    """Pairs of patches within `radius`: mean (1 - A) where labels agree plus mean A where they differ.

    A = sigmoid(F' F / sqrt C) of fused features (B, N, C); scaling by the width keeps the sigmoid out of saturation at the start.
    `target` (B, H, W) is read at the patch centres of the grid that N implies by the target's shape.
    """
    return _affinity(_affinity_sums(fused, target, radius))


def _affinity_sums(fused: Tensor, target: Tensor, radius: int) -> Tensor:
    """(4,): 1 - A over the pairs that agree, A over those that differ, and how many pairs there are of each."""
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
    counts = (positive.sum().to(affinity.dtype), negative.sum().to(affinity.dtype))
    return torch.stack([((1 - affinity) * positive).sum(), (affinity * negative).sum(), *counts])


def _affinity(sums: Tensor) -> Tensor:
    return (sums[:2] / sums[2:].clamp_min(1)).sum()


def consistency_loss(first: Tensor, second: Tensor) -> Tensor:
    """Each encoder's prediction learns the other's hard labels; logits (B, K + 1, H, W)."""
    return _consistency(_consistency_sums(first, second))


def _consistency_sums(first: Tensor, second: Tensor) -> Tensor:
    """(2,): cross entropy of both over all pixels, and the number of pixels."""
    both = F.cross_entropy(first, second.detach().argmax(dim=1), reduction="sum")
    both = both + F.cross_entropy(second, first.detach().argmax(dim=1), reduction="sum")
    return torch.stack([both, both.new_tensor(first.shape[0] * first.shape[-2] * first.shape[-1])])


def _consistency(sums: Tensor) -> Tensor:
    return sums[0] / sums[1]


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
