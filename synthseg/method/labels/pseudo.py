"""Pseudo-labels where image space and prompt space agree (paper, Fig. 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthseg.config.schema import ScoringConfig
from synthseg.records import ABSENT, PRESENT, UNKNOWN


def pseudo_labels(
    image_probs: NDArray[np.floating], prompt_probs: NDArray[np.floating], asked: NDArray[np.bool_], config: ScoringConfig
) -> NDArray[np.int8]:
    """Labels (N, K) from p(c|image), p(c|prompt) and the classes each prompt asked for, all (N, K).

    1: above `present_threshold` in both spaces, or asked for and not refuted by the image. 0: not asked for and below
    `absent_threshold` in both. -1 otherwise, an asked but refuted class included.
    """
    present = (image_probs >= config.present_threshold) & (prompt_probs >= config.present_threshold)
    present |= asked
    refuted = asked & (image_probs < config.refute_threshold)
    absent = (image_probs < config.absent_threshold) & (prompt_probs < config.absent_threshold) & ~asked
    return np.where(refuted, UNKNOWN, np.where(present, PRESENT, np.where(absent, ABSENT, UNKNOWN))).astype(np.int8)
