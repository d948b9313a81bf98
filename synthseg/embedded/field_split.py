"""The embedded field split as a dataset: painted by the held-out world, so nothing is read from disk."""

from __future__ import annotations

from synthseg.config.schema import RunConfig
from synthseg.datasets.base import SegmentationSample
from synthseg.embedded.scenes.field import field_sample

FULL_SIZE = 200
"""Samples of the whole split."""


class FieldDataset:
    """The first `evaluation.num_images` samples (0: all) with the run's classes; a sample is painted when asked for."""

    def __init__(self, config: RunConfig) -> None:
        self._length = config.evaluation.num_images or FULL_SIZE
        self._class_ids = [info.class_id for info in config.class_infos()]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> SegmentationSample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        sample = field_sample(index, self._class_ids)
        return SegmentationSample(sample.name, sample.image, sample.mask)
