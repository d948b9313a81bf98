"""Pseudo masks: image-level labels become pixel labels, by seeds, affinity and refinement, without any training.

Mask values: 0 background, 1..K the classes in the run's order, 255 to be ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthseg.config.schema import SegmenterConfig
from synthseg.method.masks.affinity import affinity_matrix, propagate
from synthseg.method.masks.par import refine
from synthseg.method.masks.prototypes import Prototypes
from synthseg.method.masks.seeds import flip_maps, min_max, raw_seeds, resize_maps, strongest_text
from synthseg.method.networks.encoder import Encoded, FrozenClipEncoder
from synthseg.method.networks.tower import Grid, to_grid
from synthseg.records import PRESENT, UNKNOWN
from synthseg.taxonomy import VOID_ID

Image = NDArray[np.uint8]
"""RGB, (H, W, 3)."""
Mask = NDArray[np.uint8]
"""Class indices, (H, W)."""
Labels = NDArray[np.int8]
"""(B, K) in {1, 0, -1}: present, absent, unknown."""
Tagger = Callable[[Tensor, Encoded], Labels]
"""Labels of images (B, 3, H, W) in [0, 1], whose encoding at the first of the seeds' scales is known."""

MASK_SETTINGS = (
    "clip_model", "normalization", "text_templates", "num_attributes", "seed_blocks", "seed_scales", "seed_flip", "affinity",
    "affinity_blocks", "affinity_power", "cda_temperature", "background_power", "seed_box_threshold", "par_iterations", "par_stride",
    "ignore_band",
)  # fmt: skip
"""Settings of the segmenter that a pseudo mask depends on."""
BATCH = 16
"""Most images at once."""
BATCH_PAIRS = 1 << 24
"""Most pairs of tokens at once, each image its own: a matrix of attention over 12 heads then takes 0.8 GB in fp32, of which five live
at the encoder's peak."""


class PseudoMasker:
    """Masks from labels with one frozen CLIP; deterministic, one image's mask does not depend on its batch."""

    def __init__(self, encoder: FrozenClipEncoder, prototypes: Prototypes, config: SegmenterConfig) -> None:
        self.encoder = encoder
        self.config = config
        self.num_classes = prototypes.num_classes
        self.prototypes = torch.from_numpy(prototypes.vectors).to(encoder.mean.device)

    def masks(self, images: Sequence[Image], labels: Labels | Tagger, ignore_band: float | None = None) -> list[Mask]:
        """One mask an image for its labels, which may be found here; `ignore_band` defaults to the configuration's."""
        band = self.config.ignore_band if ignore_band is None else ignore_band
        found: dict[int, Mask] = {}
        for chunk in same_size_batches(images, self.encoder.stride / max(self.config.seed_scales)):
            batch = to_batch([images[i] for i in chunk], self.prototypes.device)
            raw, encoded = self.seeds(batch)
            tags = labels(batch, encoded) if callable(labels) else labels[chunk]
            found.update(zip(chunk, self._batch_masks(batch, raw, encoded, tags, band), strict=True))
        return [found[i] for i in range(len(images))]

    def _batch_masks(self, images: Tensor, raw: Tensor, encoded: Encoded, labels: Labels, band: float) -> list[Mask]:
        present = [np.flatnonzero(label == PRESENT) for label in labels]
        cams = self._cams(raw, encoded, present)
        scores = torch.cat([(1 - cams.amax(dim=1, keepdim=True)) ** self.config.background_power, cams], dim=1)
        refined = refine(images, to_grid(scores, encoded.grid), self.config.par_iterations, self.config.par_stride)
        best, index = refined[:, 1:].max(dim=1)
        names = torch.zeros(len(labels), cams.shape[1], dtype=torch.long)
        for row, classes in enumerate(present):
            names[row, : len(classes)] = torch.from_numpy(classes + 1)
        masks = names.to(index.device).gather(1, index.flatten(1)).view_as(index) * (best > refined[:, 0])
        # With no class present the background is certain, so the band says nothing.
        labelled = torch.from_numpy((labels == PRESENT).any(axis=1)).to(index.device)[:, None, None]
        masks[((best - refined[:, 0]).abs() < band) & labelled] = VOID_ID
        masks[self._unknown_pixels(raw, encoded.grid, labels, images.shape[-2:])] = VOID_ID
        return list(masks.to(torch.uint8).cpu().numpy())

    def seeds(self, images: Tensor) -> tuple[Tensor, Encoded]:
        """Raw seeds (B, N, K + W) of images (B, 3, H, W) in [0, 1], mean over scales and flip, and the first scale's encoding."""
        first: Encoded | None = None
        total: Tensor | None = None
        for scale in self.config.seed_scales:
            scaled = resize_to_stride(images, scale, self.encoder.stride)
            for flipped in (False, True) if self.config.seed_flip else (False,):
                # Affinity is the first encoding's.
                with_attention = first is None and self.config.affinity != "none"
                encoded = self.encoder.encode(scaled.flip(-1) if flipped else scaled, attention=with_attention)
                maps = raw_seeds(encoded.dense, encoded.pooled, self.prototypes)
                maps = flip_maps(maps, encoded.grid) if flipped else maps
                first = first or encoded
                maps = resize_maps(maps, encoded.grid, first.grid)
                total = maps if total is None else total + maps
        if first is None or total is None:
            raise ValueError("seed_scales is empty")
        return total / (len(self.config.seed_scales) * (2 if self.config.seed_flip else 1)), first

    def _cams(self, raw: Tensor, encoded: Encoded, present: Sequence[NDArray[np.intp]]) -> Tensor:
        """(B, C, N) in [0, 1]: rows of an image are its present classes, then zeros up to the batch's largest number C."""
        config = self.config
        affinity = affinity_matrix(config.affinity, encoded.attention, encoded.dense, self.prototypes, config.cda_temperature)
        cams = raw.new_zeros(len(raw), max(1, *(len(p) for p in present)), raw.shape[1])
        for row, classes in enumerate(present):
            seeds = min_max(raw[row, :, classes].T)
            if affinity is not None:
                seeds = propagate(affinity[row], seeds, encoded.grid, config.affinity_power, config.seed_box_threshold)
            cams[row, : len(classes)] = seeds
        return cams

    def _unknown_pixels(self, raw: Tensor, grid: Grid, labels: Labels, size: Sequence[int]) -> Tensor:
        """(B, H, W): true where, of all classes and background words, one of unknown presence has the highest seed."""
        unknown = torch.zeros(len(labels), raw.shape[-1], dtype=torch.bool, device=raw.device)
        unknown[:, : self.num_classes] = torch.from_numpy(labels == UNKNOWN).to(raw.device)
        strong = to_grid(unknown.gather(1, strongest_text(raw)), grid)
        return F.interpolate(strong[:, None].float(), size=tuple(size), mode="nearest")[:, 0] > 0


def same_size_batches(images: Sequence[Image], stride: float) -> Iterator[list[int]]:
    """Indices of all images, in batches whose images have one shape: BATCH of them, fewer where a token every `stride` pixels makes more
    than BATCH_PAIRS pairs.
    """
    order = sorted(range(len(images)), key=lambda i: images[i].shape)
    for (height, width, *_), same_size in groupby(order, key=lambda i: images[i].shape):
        indices = list(same_size)
        pairs = math.ceil(height * width / stride**2) ** 2
        size = max(1, min(BATCH, BATCH_PAIRS // pairs))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


def to_batch(images: Sequence[Image], device: torch.device) -> Tensor:
    """Images of one size as (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def resize_to_stride(images: Tensor, scale: float, stride: int) -> Tensor:
    """Images (B, 3, H, W) times `scale`, each side rounded to a multiple of `stride`."""
    size = tuple(max(1, round(side * scale / stride)) * stride for side in images.shape[-2:])
    if size == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
