"""A scorer for tests: hashed bags of words and word pairs as unit vectors. Deterministic, no weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from synthseg.engines.scorer import Embeddings

_COMMON = frozenset(["a", "an", "the", "of", "in", "on", "at", "with", "and", "photo", "is"])


class HashedScorer:
    """Bag of stemmed words into 4096 signed buckets; function words count little."""

    digest = "hashed"
    logit_scale = 10.0

    def __init__(self, dim: int = 4096) -> None:
        self._dim = dim

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        rows = np.zeros((len(texts), self._dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 1e-3
            for word in re.findall(r"[a-z]+", text.lower()):
                key = int.from_bytes(hashlib.blake2b(word.rstrip("s").encode(), digest_size=8).digest(), "big")
                row[key % self._dim] += (1 if key >> 40 & 1 else -1) * (0.3 if word in _COMMON else 1.0)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_fixed_texts(self, texts: Sequence[str]) -> Embeddings:
        return self.embed_texts(texts)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> Embeddings:
        raise AssertionError("the prompt agent embeds no images")


@pytest.fixture
def scorer() -> HashedScorer:
    return HashedScorer()
