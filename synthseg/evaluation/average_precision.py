"""Mean average precision of image-level class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Area under the precision-recall steps of one class, scores (N,) and truth (N,); NaN without a positive.

    Equal scores count as one step, so the order of the images plays no part.
    """
    num_positives = int(truth.sum())
    if num_positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / num_positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def mean_average_precision(probs: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Mean of `average_precision` over the classes with a positive, for `probs` and `truth` (N, K); NaN when no class has one."""
    found = np.array([average_precision(probs[:, k], truth[:, k].astype(bool)) for k in range(truth.shape[1])])
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")
