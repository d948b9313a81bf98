"""Views on the published samples of a run: which were kept, and what their final labels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthseg.records import KEY_FIELDS, Sample, from_table, present
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage
from synthseg.store.verify import stage_schema

if TYPE_CHECKING:
    from training.segmenter import TrainingSample

LEARNT_FROM = (*(field.name for field in KEY_FIELDS), "prompt", "image", "labels")
"""Columns of the samples that the classifier learns from."""


def kept_samples(folder: RunFolder, columns: Sequence[str] = LEARNT_FROM) -> list[Sample]:
    """Samples that selection kept, cut to `columns`; by default what the classifier learns from."""
    return _ok_samples(folder, "images", columns)


def training_samples(folder: RunFolder) -> list[TrainingSample]:
    """Samples that survived relabelling, with their final labels: what the segmenter learns from."""
    from training.segmenter import TrainingSample  # a painting worker needs no training

    labels = final_labels(folder)
    kept = kept_samples(folder, ["sample_id", "image.bytes"])
    return [TrainingSample(present(s.image).encoded, labels[s.sample_id]) for s in kept if s.sample_id in labels]


def final_labels(folder: RunFolder) -> dict[str, tuple[int, ...]]:
    """Label vector (K values of 1, 0, -1) of each sample that survived relabelling, by sample id."""
    relabelled = _ok_samples(folder, "labels", ["sample_id", "labels.label"])
    return {sample.sample_id: present(sample.labels).label for sample in relabelled}


def _ok_samples(folder: RunFolder, stage: Stage, columns: Sequence[str]) -> list[Sample]:
    """Samples with the outcome ok of a stage, cut to `columns`."""
    found = from_table(folder.shards.read_all(stage, stage_schema(stage), [*columns, "outcome.status"]))
    return [sample for sample in found if sample.is_ok]
