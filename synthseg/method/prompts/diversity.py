"""How different the prompts of a class are: the figure of the report, and delta measured on an encoder instead of guessed."""

from __future__ import annotations

import numpy as np

from synthseg.engines.scorer import Embeddings


def nearest_similarities(embeddings: Embeddings) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """(N,) cosine of each unit row of (N, D) to its nearest other row. ValueError when N < 2."""
    if len(embeddings) < 2:
        raise ValueError(f"embeddings: {len(embeddings)} rows have no neighbours; give at least 2")
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    nearest: np.ndarray[tuple[int], np.dtype[np.float32]] = cosines.max(axis=1)
    return nearest


def mean_neighbour_similarity(embeddings: Embeddings) -> float:
    """Mean over unit rows (N, D) of the cosine to the nearest other row; 0 when N < 2. Lower is more diverse."""
    return float(nearest_similarities(embeddings).mean()) if len(embeddings) > 1 else 0.0


def calibrate_diversity(embeddings: Embeddings, pass_rate: float) -> float:
    """Smallest delta at which at least `pass_rate` of the unit rows (N, D), taken in order, are each below delta to all rows
    accepted before. It depends on the rows alone. The rows stand for fresh candidates: draws of T(c).
    """
    cosines = embeddings @ embeddings.T
    options = np.unique(np.append(np.nextafter(cosines[np.tril_indices(len(cosines), -1)], np.float32(2)), np.float32(1)))
    low, high = 0, len(options) - 1
    while low < high:
        middle = (low + high) // 2
        if _num_accepted(cosines, float(options[middle])) >= pass_rate * len(cosines):
            high = middle
        else:
            low = middle + 1
    return min(1.0, float(options[low]))


def _num_accepted(cosines: Embeddings, delta: float) -> int:
    accepted: list[int] = []
    for row in range(len(cosines)):
        if not accepted or cosines[row, accepted].max() < delta:
            accepted.append(row)
    return len(accepted)
