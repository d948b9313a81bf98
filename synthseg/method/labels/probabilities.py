"""p(c|x): the class head of a frozen CLIP, the same for images and for prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthseg.engines.scorer import Embeddings, Scorer
from synthseg.taxonomy import ClassInfo

TEMPLATES = ("a photo of a {}.", "a clean origami {}.", "{}")
"""Wordings whose mean stands for a class; the second is the usual one for segmentation (CLIP-ES, WeCLIP, ExCEL)."""


class ClassHead:
    """Class probabilities of embeddings in the scorer's space.

    A scorer trained with a sigmoid (SigLIP, arXiv 2303.15343; it has a `logit_bias`) gives each class its own calibrated
    probability sigmoid(scale * cos + bias), so two classes of one image can both be near 1. Any other scorer gives the softmax over
    classes and background words: the share of a class against all other classes and the background, which classes of one
    image divide among themselves. Thresholds on it must be lower.
    """

    def __init__(self, scorer: Scorer, classes: Sequence[ClassInfo], background_words: Sequence[str]) -> None:
        names = {name for info in classes for name in (info.name, info.display)}
        words = [info.clip_text or info.display for info in classes] + [word for word in background_words if word not in names]
        texts = scorer.embed_fixed_texts([template.format(word) for template in TEMPLATES for word in words])
        mean = texts.reshape(len(TEMPLATES), len(words), -1).mean(axis=0)
        self._prototypes = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        self._num_classes = len(classes)
        self._scale = scorer.logit_scale
        self._bias: float | None = scorer.logit_bias

    def probabilities(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """p(c|x) (N, K) in 0..1 for unit embeddings (N, D) of images or texts."""
        logits = self._scale * (embeddings @ self._prototypes.T)
        found: NDArray[np.float32]
        if self._bias is not None:
            found = 1 / (1 + np.exp(-np.clip(logits + self._bias, -60, 60)))
        else:
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            found = odds / odds.sum(axis=1, keepdims=True)
        return np.asarray(found[:, : self._num_classes], np.float32)
