"""Memory M of the paper's Algorithm 1: texts and embeddings of the accepted prompts, with nearest-neighbour search."""

from __future__ import annotations

from typing import Final

from synthseg.engines.scorer import Embeddings
from synthseg.method.prompts.indexes import ClusteredIndex, FlatIndex, Index

EXACT_UP_TO: Final = 100_000
"""Prompts a memory compares a new one with one by one: a query then costs some 10 ms on one CPU core. A larger memory looks only where
near ones can be. Each class has a memory of its own, so the presets' quotas of hundreds never reach this.
"""


class PromptMemory:
    """Accepted prompts of one class. Embeddings are unit rows, so the inner product of the index is the cosine."""

    def __init__(self, dim: int, exact_up_to: int = EXACT_UP_TO) -> None:
        """`dim` is D; from `exact_up_to` prompts on the search is no longer exact: `nearest` may then say a little too little."""
        self._exact_up_to = exact_up_to
        self._index: Index = FlatIndex(dim)
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
        return self._index.rows()

    @property
    def is_exact(self) -> bool:
        """Whether `nearest` compares with every prompt."""
        return isinstance(self._index, FlatIndex)

    def nearest(self, text: str, embedding: Embeddings) -> float:
        """Cosine of a text's unit embedding (D,) to its nearest neighbour; 1 for a text already held, -1 when the memory is empty."""
        if text.lower() in self._known:
            return 1.0
        return float(self._index.nearest(embedding[None])[0])

    def add(self, text: str, embedding: Embeddings) -> None:
        """Hold `text` with its unit embedding (D,)."""
        self._index.add(embedding[None])
        self._texts.append(text)
        self._known.add(text.lower())
        if self.is_exact and len(self._texts) >= self._exact_up_to:
            self._index = ClusteredIndex(self._index.rows())
