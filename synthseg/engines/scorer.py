"""The scorer: a frozen CLIP that puts images and texts into one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthseg.image_codec import decode_rgb

Embeddings = NDArray[np.float32]
"""(N, D), unit length rows."""


class Scorer(Protocol):
    """Image and text towers with a shared space. `digest` changes with the weights or the preprocessing."""

    digest: str
    logit_scale: float
    """Factor on cosines before a softmax over classes, or before a sigmoid each."""
    logit_bias: float | None
    """Added after the factor by models trained with a sigmoid loss; None for softmax models."""

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Unit embeddings (N, D) of `texts`."""
        ...

    def embed_fixed_texts(self, texts: Sequence[str]) -> Embeddings:
        """The same for texts that every process of a run starts from, such as class words: a scorer may keep them."""
        ...

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> Embeddings:
        """Unit embeddings (N, D) of RGB images, each (H, W, 3)."""
        ...


def clip_score(scorer: Scorer, prompt: str, encoded: bytes) -> float:
    """Cosine of a prompt and an encoded picture, -1 to 1: the `clip_score` of a run's samples. CorruptData for what is no picture."""
    (text,), (image,) = scorer.embed_texts([prompt]), scorer.embed_images([decode_rgb(encoded)])
    return float(text @ image)
