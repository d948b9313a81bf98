"""Pixel-adaptive refinement (Ru et al., CVPR 2022, section 3.3): scores flow to neighbours of the same colour.

For pixel i and neighbour j (eight directions, several dilations): k_rgb = -(|I_i - I_j| / (w1 s_i))^2 averaged over channels and
k_pos = -(|P_i - P_j| / (w2 s))^2, s the standard deviation over the neighbours; kernel = softmax_j(k_rgb) + w3 softmax_j(k_pos);
the scores are averaged with it again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 2, 4, 8, 12, 24)
COLOR_WEIGHT = 0.3
POSITION_WEIGHT = 0.3
POSITION_SHARE = 0.01
MIN_DEVIATION = 1e-3
"""Of a channel in [0, 1]: keeps flat regions from dividing by rounding errors."""
DIRECTIONS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
Offset = tuple[int, int]


def refine(images: Tensor, scores: Tensor, iterations: int, stride: int = 1) -> Tensor:
    """Scores (B, C, H', W') refined along the edges of `images` (B, 3, H, W) in [0, 1]; result (B, C, H, W).

    The work is done at (H / stride, W / stride), rounded up; the kernel's weights are scaled to sum to 1.
    """
    if len(images) > 1 and images.device.type == "cpu":
        # One image with its padding stays in a core's cache; the same numbers in three fifths of the time.
        return torch.cat([refine(image[None], score[None], iterations, stride) for image, score in zip(images, scores, strict=True)])
    height, width = images.shape[-2:]
    size = (-(-height // stride), -(-width // stride))
    small = F.interpolate(images, size=size, mode="area") if stride > 1 else images
    refined = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    if iterations:
        offsets = [(dy * d, dx * d) for d in DILATIONS if d < min(size) for dy, dx in DIRECTIONS]
        kernel = _kernel(small, offsets)
        for _ in range(iterations):
            total = torch.zeros_like(refined)
            for weight, around in zip(kernel, _neighbours(refined, offsets), strict=True):
                total.addcmul_(weight, around)
            refined = total
    if stride > 1:
        refined = F.interpolate(refined, size=(height, width), mode="bilinear", align_corners=False)
    return refined


def _neighbours(maps: Tensor, offsets: Sequence[Offset]) -> Iterator[Tensor]:
    """For each offset, the neighbours (B, C, H, W) of all pixels, the border repeated."""
    height, width = maps.shape[-2:]
    reach = max(abs(step) for offset in offsets for step in offset)
    padded = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    for dy, dx in offsets:
        yield padded[..., reach + dy : reach + dy + height, reach + dx : reach + dx + width]


def _kernel(images: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """(neighbours, B, 1, H, W), summing to 1 over the neighbours."""
    # One neighbour at a time: all at once is 48 images in memory, and several times slower on a CPU.
    total, squares = torch.zeros_like(images), torch.zeros_like(images)
    for around in _neighbours(images, offsets):
        total += around
        squares.addcmul_(around, around)
    count = len(offsets)
    variance = ((squares - total * total / count) / (count - 1)).clamp_min(MIN_DEVIATION**2)
    factor = -1 / (COLOR_WEIGHT**2 * variance)
    color = torch.stack([((around - images).square_() * factor).mean(dim=1, keepdim=True) for around in _neighbours(images, offsets)])
    distance = torch.tensor([(dy * dy + dx * dx) ** 0.5 for dy, dx in offsets], device=images.device)
    position = (-((distance / (POSITION_WEIGHT * distance.std())) ** 2)).softmax(dim=0)
    return (color.softmax(dim=0) + POSITION_SHARE * position[:, None, None, None, None]) / (1 + POSITION_SHARE)
