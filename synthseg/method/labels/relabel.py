"""Relabelling by the out-of-fold classifier (paper, Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthseg.config.schema import RelabelConfig, ScoringConfig
from synthseg.records import ABSENT, PRESENT, UNKNOWN

_SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class Relabelled:
    """New labels of N samples."""

    label: NDArray[np.int8]
    """(N, K): 1, 0 or -1."""
    probs: NDArray[np.float32]
    """(N, K) the classifier's probabilities."""
    dropped: NDArray[np.bool_]
    """(N,) an asked class was refuted by classifier and CLIP."""


def relabel(
    pseudo: NDArray[np.int8],
    classifier_probs: NDArray[np.floating],
    image_probs: NDArray[np.floating],
    asked: NDArray[np.bool_],
    relabel: RelabelConfig,
    scoring: ScoringConfig,
) -> Relabelled:
    """The classifier's opinion in place of the pseudo-labels, all (N, K).

    The opinion is the classifier's probability, or with `clip_weight` w the weighted mean of its log odds (1 - w) and CLIP's (w).

    Not asked for: 1 above `present_threshold`, 0 below `absent_threshold`, between them -1. Where the pseudo-label is 0, so that image
    and prompt agree on absence, doubt leaves it 0 and only an opinion above `present_threshold` makes it -1: one voice of three.

    Asked for: stays 1 whatever the classifier's doubts. Only where the classifier is below `drop_threshold` and CLIP (`image_probs`)
    below the scoring's `refute_threshold` as well, the class counts as not painted and the image is dropped.
    """
    agreed = pseudo == ABSENT
    opinion = mixed_opinion(classifier_probs, image_probs, relabel.clip_weight)
    high, low = opinion > relabel.present_threshold, opinion < relabel.absent_threshold
    label = np.where(high, np.where(agreed, UNKNOWN, PRESENT), np.where(low | agreed, ABSENT, UNKNOWN))
    refuted = asked & (classifier_probs < relabel.drop_threshold) & (image_probs < scoring.refute_threshold)
    label = np.where(asked, np.where(refuted, ABSENT, PRESENT), label)
    return Relabelled(label.astype(np.int8), classifier_probs.astype(np.float32), np.asarray(refuted.any(axis=1)))


def mixed_opinion(classifier_probs: NDArray[np.floating], image_probs: NDArray[np.floating], clip_weight: float) -> NDArray[np.float64]:
    """Probabilities whose log odds are the weighted mean of the classifier's and CLIP's, all (N, K)."""
    odds = [np.clip(p.astype(np.float64), _SMALLEST, 1 - _SMALLEST) for p in (classifier_probs, image_probs)]
    classifier, clip = (np.log(p / (1 - p)) for p in odds)
    opinion: NDArray[np.float64] = 1 / (1 + np.exp(-((1 - clip_weight) * classifier + clip_weight * clip)))
    return opinion
