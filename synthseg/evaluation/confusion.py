"""One confusion matrix over a whole split, and the IoU read from it (PASCAL VOC's rule)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthseg.taxonomy import VOID_ID


class ConfusionMatrix:
    """Pixel counts (K + 1, K + 1), rows truth, columns prediction, background first. Void pixels of the truth are left out."""

    def __init__(self, num_classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((num_classes + 1, num_classes + 1), np.int64)

    def update(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Count the pixels of one image, both (H, W) with 0..K, the truth also 255.

        ValueError for another shape or value: a void prediction, or a class beyond K, is a fault of the caller.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
        size = len(self.counts)
        known = truth != VOID_ID
        rows, columns = truth[known].astype(np.int64), prediction[known].astype(np.int64)
        for name, values in (("truth", rows), ("prediction", columns)):
            if values.size and values.max() >= size:
                raise ValueError(f"{name} holds class {values.max()}, the last is {size - 1}")
        self.counts += np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)

    def merge(self, counts: NDArray[np.int64]) -> None:
        """Add the counts of another matrix of the same size."""
        if counts.shape != self.counts.shape:
            raise ValueError(f"counts {counts.shape} do not fit {self.counts.shape}")
        self.counts += counts

    def iou(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) (K + 1,), NaN for classes that do not occur in the truth."""
        hits = np.diag(self.counts).astype(np.float64)
        in_truth = self.counts.sum(axis=1)
        union = in_truth + self.counts.sum(axis=0) - hits
        found: NDArray[np.float64] = np.divide(hits, union, out=np.full(len(hits), np.nan), where=in_truth > 0)
        return found

    def miou(self) -> float:
        """Mean over the classes that occur in the truth, background included; NaN before the first pixel."""
        found = self.iou()
        occurring = found[~np.isnan(found)]
        return float(occurring.mean()) if occurring.size else float("nan")
