"""How good the labels are, against what the painter really painted. Evaluation only: no stage reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.samples import final_labels, kept_samples
from synthseg.config.schema import RunConfig
from synthseg.evaluation.label_quality import label_quality, painted_labels
from synthseg.records import present
from synthseg.store.run_folder import RunFolder

PAINTED_FROM = ("sample_id", "seed", "prompt.text", "image.width", "image.height", "image.parameters", "labels.label")
"""What says what the painter painted, and the pseudo-label."""


def label_metrics(config: RunConfig, folder: RunFolder) -> dict[str, Any]:
    """F1, precision and recall of the CLIP pseudo-labels and of the relabelled ones, over the same samples.

    Both are measured on the samples that survived relabelling, so that dropping a hard image flatters neither. Empty
    for image engines that cannot say what they painted.
    """
    if config.images.engine != "painter":
        return {}
    final = final_labels(folder)
    survived = [sample for sample in kept_samples(folder, PAINTED_FROM) if sample.sample_id in final]
    if not survived:
        return {}
    truth = painted_labels(config, survived)
    pseudo = label_quality(np.array([present(sample.labels).label for sample in survived], np.int8), truth)
    relabelled = label_quality(np.array([final[sample.sample_id] for sample in survived], np.int8), truth)
    return {
        **{f"pseudo_{key}": value for key, value in pseudo.items()},
        **{f"relabelled_{key}": value for key, value in relabelled.items()},
    }
