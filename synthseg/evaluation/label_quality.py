"""How true image-level labels are, against what the painter painted. For evaluation alone: nothing that trains or labels reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthseg.config.schema import RunConfig
from synthseg.embedded.scenes.painter import paint
from synthseg.records import PRESENT, UNKNOWN, Sample, present


def painted_labels(config: RunConfig, samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Visible classes (N, K) of painted samples, found by painting each again.

    Of `samples` are read `seed`, `prompt.text` and, of the image, size and `parameters`, which name the negative prompt.
    """
    classes = config.class_infos()
    found = np.zeros((len(samples), len(classes)), bool)
    for n, sample in enumerate(samples):
        image = present(sample.image)
        negative = json.loads(image.parameters)["negative_prompt"]
        painting = paint(sample.prompt.text, sample.seed, width=image.width, height=image.height, negative_prompt=negative)
        found[n] = [info.class_id in painting.class_ids for info in classes]
    return found


def label_quality(labels: NDArray[np.int8], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Micro F1, precision and recall over all (sample, class) pairs of `labels` (N, K) against `truth` (N, K), and the unknown share.

    One rule for every kind of labels: only a 1 is a positive prediction. An unknown is none, so where the class is visible it
    costs recall, and where it is not it costs nothing.
    """
    predicted = labels == PRESENT
    hits = float((predicted & truth).sum())
    precision = hits / max(float(predicted.sum()), 1.0)
    recall = hits / max(float(truth.sum()), 1.0)
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {"f1": f1, "precision": precision, "recall": recall, "unknown_share": float((labels == UNKNOWN).mean())}
