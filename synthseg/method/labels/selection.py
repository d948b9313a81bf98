"""Which images of a prompt are kept. Every criterion reads one row or the rows of one prompt, so shards and order play no part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthseg.config.schema import ScoringConfig

LOW_CLIP_SCORE: Final = "low_clip_score"
"""An asked class does not stand out among the classes of the image."""
CLASS_REFUTED: Final = "class_refuted"
"""CLIP sees no trace of an asked class."""
CLASS_INTRUDED: Final = "class_intruded"
"""A prompt for surroundings only brought a class with it."""
NOT_IN_TOP_K: Final = "not_in_top_k"
"""Other images of the prompt fit it better."""
UNSAFE: Final = "unsafe"
"""The engine's safety verdict, set where images arrive."""
REASONS: Final = (LOW_CLIP_SCORE, CLASS_REFUTED, CLASS_INTRUDED, NOT_IN_TOP_K, UNSAFE)


def select(
    prompt_ids: Sequence[str],
    clip_scores: NDArray[np.floating],
    image_probs: NDArray[np.floating],
    asked: NDArray[np.bool_],
    config: ScoringConfig,
) -> list[str]:
    """Why each row is dropped, "" for a kept one.

    `clip_scores` (N,) are cosines of image and prompt, `image_probs` (N, K) come from `ClassHead`, `asked` (N, K) marks the classes
    each prompt asks for. All candidates of a prompt must be in the call. Every asked class must reach `refute_threshold` and
    `min_class_score`; an image without asked classes must show none. Of what is left the best `keep_per_prompt` stay.
    """
    scores = class_scores(image_probs)
    reasons = [""] * len(prompt_ids)
    for row in range(len(reasons)):
        wanted = asked[row]
        if not wanted.any():
            reasons[row] = CLASS_INTRUDED if (image_probs[row] >= config.present_threshold).any() else ""
        elif (image_probs[row, wanted] < config.refute_threshold).any():
            reasons[row] = CLASS_REFUTED
        elif (scores[row, wanted] < config.min_class_score).any():
            reasons[row] = LOW_CLIP_SCORE
    candidates: dict[str, list[int]] = {}
    for row in np.argsort(-np.asarray(clip_scores), kind="stable").tolist():
        if not reasons[row]:
            candidates.setdefault(prompt_ids[row], []).append(row)
    for rows in candidates.values():
        for row in rows[config.keep_per_prompt :]:
            reasons[row] = NOT_IN_TOP_K
    return reasons


def class_scores(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """z-scores (N, K) of each row's logits over its own classes; all 0 where the classes are even (or there is only one)."""
    bounded = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(bounded / (1 - bounded))
    centered = logits - logits.mean(axis=1, keepdims=True)
    spread = logits.std(axis=1, keepdims=True)
    scores: NDArray[np.float64] = np.divide(centered, spread, out=np.zeros_like(centered), where=spread > 1e-9)
    return scores
