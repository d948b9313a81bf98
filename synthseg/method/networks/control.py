"""The training-free control: the same encoder, prototypes, seeds, affinity and refinement, and nothing learnt.

Image tags come from CLIP itself: a class is present where the mean of its probability for the whole image and for its best patch
reaches the threshold. A trained segmenter has to beat this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from synthseg.config.schema import SegmenterConfig
from synthseg.method.masks.pseudo_masks import Image, Labels, Mask, resize_to_stride
from synthseg.method.networks.encoder import Encoded
from synthseg.method.networks.frozen import FrozenParts
from synthseg.records import ABSENT, PRESENT


class TrainingFree:
    """Segmentation by a frozen CLIP alone."""

    def __init__(self, parts: FrozenParts, config: SegmenterConfig) -> None:
        self._parts, self._config = parts, config
        self._masker = parts.masker(config)

    def predict(self, images: Sequence[Image], labels: Labels | None = None) -> list[Mask]:
        """One mask (H, W) an image, every pixel decided; `labels` (B, K) are given tags in place of CLIP's own."""
        return self._masker.masks(images, self._tags if labels is None else labels, ignore_band=0.0)

    def probabilities(self, images: Tensor, encoded: Encoded | None = None) -> Tensor:
        """Class probabilities (B, K) of images (B, 3, H, W) in [0, 1], encoded as they are: mean of whole image and best patch."""
        if encoded is None:
            encoded = self._parts.clip.encode(resize_to_stride(images, 1.0, self._parts.stride), attention=False)
        whole, best = self._probabilities(encoded.pooled), self._probabilities(encoded.dense).amax(dim=1)
        return ((whole + best) / 2)[:, : self._masker.num_classes]

    def _tags(self, images: Tensor, encoded: Encoded) -> Labels:
        """1 where the class probability reaches `tag_threshold`, else 0."""
        probabilities = self.probabilities(images, encoded if self._config.seed_scales[0] == 1.0 else None)
        return np.where(probabilities.cpu().numpy() >= self._config.tag_threshold, PRESENT, ABSENT).astype(np.int8)

    def _probabilities(self, embeddings: Tensor) -> Tensor:
        """Sigmoid for models trained with one (they have a logit bias), else softmax over classes and background words."""
        model: Any = self._parts.clip_model
        bias: Tensor | None = getattr(model, "logit_bias", None)
        logits: Tensor = embeddings @ self._masker.prototypes.T * model.logit_scale.exp()
        return logits.softmax(dim=-1) if bias is None else (logits + bias).sigmoid()
