"""Memory M of the paper's Algorithm 1: texts and embeddings of the accepted prompts, with exact nearest-neighbour search."""

from __future__ import annotations

import faiss
import numpy as np

from synthseg.engines.scorer import Embeddings


class PromptMemory:
    """Accepted prompts of one class. Embeddings are unit rows, so the inner product of the FAISS index is the cosine."""

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexFlatIP(dim)
        self._texts: list[str] = []
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> tuple[str, ...]:
        """Accepted texts in the order of acceptance."""
        return tuple(self._texts)

    @property
    def embeddings(self) -> Embeddings:
        """(N, D) of the accepted texts."""
        rows: Embeddings = self._index.reconstruct_n(0, len(self._texts)) if self._texts else np.zeros((0, self._index.d), np.float32)
        return rows

    def nearest(self, text: str, embedding: Embeddings) -> float:
        """Cosine of a text's unit embedding (D,) to its nearest neighbour; 1 for a text already held, -1 when the memory is empty."""
        if text.lower() in self._known:
            return 1.0
        if not self._texts:
            return -1.0
        similarities, _ = self._index.search(embedding[None].astype(np.float32), 1)
        return float(similarities[0, 0])

    def add(self, text: str, embedding: Embeddings) -> None:
        """Hold `text` with its unit embedding (D,)."""
        self._index.add(embedding[None].astype(np.float32))
        self._texts.append(text)
        self._known.add(text.lower())
