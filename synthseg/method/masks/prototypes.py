"""Class prototypes in the text space: templates, then attributes mined from descriptors (ExCEL's text side).

Attributes a_1..a_B are the k-means centres of all classes' descriptor embeddings. A class takes what fits it:
T_c = norm(t_c + sum_j softmax_j(t_c . a_j) a_j), the lowest tenth of the weights dropped. Background words are appended as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthseg.engines.scorer import Embeddings
from synthseg.errors import UsageProblem
from synthseg.taxonomy import ClassInfo

EmbedTexts = Callable[[Sequence[str]], Embeddings]

DROPPED_SHARE = 0.1
KMEANS_ITERATIONS = 20


@dataclass(frozen=True, slots=True)
class Prototypes:
    """Unit rows (K + W, D): K classes in the run's order, then W background words."""

    vectors: Embeddings
    num_classes: int


def build_prototypes(
    classes: Sequence[ClassInfo],
    background_words: Sequence[str],
    templates: Sequence[str],
    embed_texts: EmbedTexts,
    descriptors: Mapping[str, Sequence[str]] | None = None,
    num_attributes: int = 0,
    rng: np.random.Generator | None = None,
) -> Prototypes:
    """Prototypes of `classes` and of the background words that are no class.

    `descriptors` maps a class's canonical name to short texts about its looks; with none, or with `num_attributes` 0, the
    templates alone speak. `rng` starts k-means and is needed with descriptors. UsageProblem for a template without {}.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise UsageProblem(f"segmenter.text_templates: '{template}' must hold exactly one {{}} for the class words")
    names = {word for info in classes for word in (info.name, info.display)}
    words = [word for word in background_words if word not in names]
    class_vectors = _averaged([info.clip_text or info.display for info in classes], templates, embed_texts)
    texts = [text for info in classes for text in (descriptors or {}).get(info.name, ())]
    if texts and num_attributes:
        if rng is None:
            raise ValueError("descriptors need a random generator")
        attributes = kmeans(embed_texts(texts), min(num_attributes, len(texts)), rng)
        class_vectors = enrich(class_vectors, attributes)
    vectors = np.concatenate([class_vectors, _averaged(words, templates, embed_texts)]) if words else class_vectors
    return Prototypes(vectors.astype(np.float32), len(classes))


def enrich(class_vectors: Embeddings, attributes: Embeddings) -> Embeddings:
    """T_c (K, D) from t_c (K, D) and attributes (B, D)."""
    logits = class_vectors @ attributes.T
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < np.quantile(weights, DROPPED_SHARE, axis=1, keepdims=True)] = 0
    return unit(class_vectors + weights @ attributes)


def kmeans(points: Embeddings, num_clusters: int, rng: np.random.Generator) -> Embeddings:
    """Unit centres (num_clusters, D) of unit points (N, D) by spherical k-means; an empty cluster keeps its centre."""
    centers = points[rng.choice(len(points), num_clusters, replace=False)].copy()
    for _ in range(KMEANS_ITERATIONS):
        nearest = (points @ centers.T).argmax(axis=1)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, points)
        filled = np.bincount(nearest, minlength=num_clusters) > 0
        centers[filled] = unit(sums[filled])
    return centers


def unit(rows: NDArray[np.float32]) -> Embeddings:
    """Rows (N, D) at unit length."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def _averaged(words: Sequence[str], templates: Sequence[str], embed_texts: EmbedTexts) -> Embeddings:
    """Unit mean over templates of the words' embeddings (N, D)."""
    embedded = embed_texts([template.format(word) for template in templates for word in words])
    return unit(embedded.reshape(len(templates), len(words), -1).mean(axis=0))
