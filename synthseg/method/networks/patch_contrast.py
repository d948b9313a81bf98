"""Patch contrastive error (TKP-PCL, APC): patches sure of a class look alike, and unlike patches sure of its absence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_contrast(tokens: Tensor, patch_probs: Tensor, labels: Tensor, confidence: float) -> Tensor:
    """Error (B,) of each image, averaged over its present classes; 0 without any.

    `tokens` (B, N, C), `patch_probs` (B, N, K) in 0..1, `labels` (B, K) with 1 for present. With S(a, b) = (1 + cos) / 2, high patches
    above `confidence` and low ones below 1 - `confidence`: mean over high pairs of (1 - S) plus mean over high-low pairs of S. A class
    without two high patches, or without any low one, leaves that term out.
    """
    unit = F.normalize(tokens.float(), dim=-1)
    high = (patch_probs > confidence).float().transpose(1, 2)  # (B, K, N)
    low = (patch_probs < 1 - confidence).float().transpose(1, 2)
    num_high, num_low = high.sum(dim=-1), low.sum(dim=-1)
    # The sum of all pairs' cosines is the product of the sums, so no N x N matrix is needed.
    high_sum, low_sum = high @ unit, low @ unit  # (B, K, C)
    pairs = num_high * (num_high - 1)
    alike = (high_sum.square().sum(dim=-1) - num_high) / pairs.clamp(min=1)
    cross = (high_sum * low_sum).sum(dim=-1) / (num_high * num_low).clamp(min=1)
    error = torch.where(pairs > 0, (1 - alike) / 2, 0.0) + torch.where(num_high * num_low > 0, (1 + cross) / 2, 0.0)
    present = (labels == 1).float()
    return (error * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
