"""Views on the published samples of a run: which were kept, what their final labels are, and what a training learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from synthseg.config.schema import RunConfig
from synthseg.records import KEY_FIELDS, Sample, from_table, present
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage
from synthseg.store.verify import stage_schema

if TYPE_CHECKING:
    from training.data import StoredSamples

WHOLE = (*(field.name for field in KEY_FIELDS), "prompt", "image", "labels")
"""Columns of a kept sample with its picture."""


def kept_samples(folder: RunFolder, columns: Sequence[str] = WHOLE) -> list[Sample]:
    """Samples that selection kept, cut to `columns`."""
    return [sample for _, _, sample in _ok_samples(folder, "images", columns)]


def final_labels(folder: RunFolder) -> dict[str, tuple[int, ...]]:
    """Label vector (K values of 1, 0, -1) of each sample that survived relabelling, by sample id."""
    relabelled = _ok_samples(folder, "labels", ["sample_id", "labels.label"])
    return {sample.sample_id: present(sample.labels).label for _, _, sample in relabelled}


def classifier_samples(config: RunConfig, folder: RunFolder) -> tuple[StoredSamples, list[str]]:
    """What the classifier learns from, in order of sample id: what selection kept, with CLIP's labels; and the prompt id of each."""
    from training.data import Place, StoredSamples  # a painting worker needs no training

    columns = ["sample_id", "prompt.prompt_id", "image.sha256", "labels.label"]
    kept = sorted(_ok_samples(folder, "images", columns), key=lambda found: found[2].sample_id)
    places = [Place(shard, row, present(sample.image).sha256) for shard, row, sample in kept]
    labels = _label_array(config, [present(sample.labels).label for _, _, sample in kept])
    samples = StoredSamples(folder.files.address, places, labels, config.execution.cache_bytes)
    return samples, [sample.prompt.prompt_id for _, _, sample in kept]


def segmenter_samples(config: RunConfig, folder: RunFolder) -> StoredSamples:
    """What the segmenter learns from, in order of shard: images that survived relabelling, with their final labels and their masks."""
    from training.data import Place, StoredSamples

    labels = final_labels(folder)
    images = {s.sample_id: Place(shard, row, present(s.image).sha256) for shard, row, s in _ok_samples(folder, "images", _IMAGE)}
    masked = list(_ok_samples(folder, "masks", ["sample_id", "mask.sha256"]))
    return StoredSamples(
        folder.files.address,
        [images[sample.sample_id] for _, _, sample in masked],
        _label_array(config, [labels[sample.sample_id] for _, _, sample in masked]),
        config.execution.cache_bytes,
        [Place(shard, row, present(sample.mask).sha256) for shard, row, sample in masked],
    )


_IMAGE = ("sample_id", "image.sha256")


def _label_array(config: RunConfig, labels: list[tuple[int, ...]]) -> np.ndarray:
    """(N, K), also of no samples."""
    return np.array(labels, np.int8).reshape(len(labels), -1 if labels else len(config.classes))


def _ok_samples(folder: RunFolder, stage: Stage, columns: Sequence[str]) -> Iterator[tuple[str, int, Sample]]:
    """Shard, row and sample of the outcome ok, cut to `columns`, in order of shard; one shard at a time is in memory."""
    for name in folder.shards.markers(stage):
        table = folder.shards.read(stage, name, stage_schema(stage), [*columns, "outcome.status"])
        yield from ((name, row, sample) for row, sample in enumerate(from_table(table)) if sample.is_ok)
