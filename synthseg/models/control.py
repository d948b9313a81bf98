"""The training-free control: the same encoder, prototypes, seeds, affinity and refinement, and nothing learnt.

Image tags come from CLIP itself: a class is present where the mean of its probability for the whole image and for its best patch
reaches the threshold. A trained segmenter has to beat this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthseg.config.schema import SegmenterConfig
from synthseg.models.frozen import FrozenParts
from synthseg.models.pseudo_masks import Image, Mask, resize_to_stride, same_size_batches, to_batch
from synthseg.records import ABSENT, PRESENT


class TrainingFree:
    """Segmentation by a frozen CLIP alone."""

    def __init__(self, parts: FrozenParts, config: SegmenterConfig) -> None:
        self._parts, self._config = parts, config
        self._masker = parts.masker(config)

    def predict(self, images: Sequence[Image], labels: NDArray[np.int8] | None = None) -> list[Mask]:
        """One mask (H, W) an image, every pixel decided; `labels` (B, K) are given tags in place of CLIP's own."""
        return self._masker.masks(images, self.tags(images) if labels is None else labels, ignore_band=0.0)

    def tags(self, images: Sequence[Image]) -> NDArray[np.int8]:
        """Labels (B, K): 1 where the class probability reaches `tag_threshold`, else 0."""
        return np.where(self.probabilities(images) >= self._config.tag_threshold, PRESENT, ABSENT).astype(np.int8)

    def probabilities(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Class probabilities (B, K): mean of whole image and best patch."""
        found = np.empty((len(images), self._masker.num_classes), np.float32)
        for chunk in same_size_batches(images, self._parts.stride):
            batch = to_batch([images[i] for i in chunk], self._masker.prototypes.device)
            encoded = self._parts.clip.encode(resize_to_stride(batch, 1.0, self._parts.stride))
            whole, best = self._probabilities(encoded.pooled), self._probabilities(encoded.dense).amax(dim=1)
            found[chunk] = ((whole + best) / 2)[:, : self._masker.num_classes].cpu().numpy()
        return found

    def _probabilities(self, embeddings: Tensor) -> Tensor:
        """Sigmoid for models trained with one (they have a logit bias), else softmax over classes and background words."""
        model: Any = self._parts.clip_model
        bias: Tensor | None = getattr(model, "logit_bias", None)
        logits: Tensor = embeddings @ self._masker.prototypes.T * model.logit_scale.exp()
        return logits.softmax(dim=-1) if bias is None else (logits + bias).sigmoid()
