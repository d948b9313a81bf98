"""What an evaluation split is, and how its name becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthseg.config.schema import RunConfig
from synthseg.datasets.class_ids import check_ids
from synthseg.datasets.paths import split_location
from synthseg.errors import UsageProblem
from synthseg.taxonomy import BACKGROUND_ID, VOID_ID, taxonomy


@dataclass(frozen=True, slots=True)
class SegmentationSample:
    """One image with its exact mask."""

    name: str
    """Unique within the split."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB, at its original size."""
    mask: NDArray[np.uint8]
    """(H, W) taxonomy ids, 0 background, 255 void."""


class SegmentationDataset(Protocol):
    """A split: a fixed order of samples, read when asked for."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> SegmentationSample:
        """Sample `index` (0..len - 1; IndexError beyond). CorruptData, with the file, when it cannot be read as it was meant."""
        ...


def open_dataset(spec: str, config: RunConfig) -> SegmentationDataset:
    """The split that `spec` names: `field`, `voc:PATH`, `coco:PATH` or `folder:PATH`; `~` is the home folder.

    `config` gives its taxonomy and `evaluation.num_images`, the number of samples taken from its start (0: all). UsageProblem names
    the file or folder that is missing, or the taxonomy that does not fit; CorruptData the list or annotation that cannot be read.
    """
    kind, root = split_location(spec)
    limit = config.evaluation.num_images
    if kind == "field":
        from synthseg.embedded.field_split import FieldDataset

        _check_taxonomy(spec, "voc", config)
        return FieldDataset(config)
    if kind == "voc":
        from synthseg.datasets.voc import VocDataset

        _check_taxonomy(spec, "voc", config)
        return VocDataset(root, limit)
    if kind == "coco":
        from synthseg.datasets.coco import CocoDataset

        _check_taxonomy(spec, "coco", config)
        return CocoDataset(root, limit)
    from synthseg.datasets.folder import FolderDataset

    return FolderDataset(root, taxonomy(config.taxonomy), limit)


def num_samples(spec: str, config: RunConfig) -> int:
    """The length of `open_dataset(spec, config)`, at less cost where this process has opened it before. Fails as that does."""
    kind, root = split_location(spec)
    if kind == "coco":
        from synthseg.datasets.coco import num_images

        _check_taxonomy(spec, "coco", config)
        return num_images(root, config.evaluation.num_images)
    return len(open_dataset(spec, config))


def to_class_order(mask: NDArray[np.uint8], config: RunConfig) -> NDArray[np.uint8]:
    """`mask` (H, W) with taxonomy ids, in the run's own: k + 1 for class k of `class_infos()`, background for others, void stays.

    CorruptData for a value that the taxonomy does not have.
    """
    check_ids(mask, taxonomy(config.taxonomy), "mask")
    table = np.full(256, BACKGROUND_ID, np.uint8)
    table[VOID_ID] = VOID_ID
    for index, info in enumerate(config.class_infos(), start=1):
        table[info.class_id] = index
    return table[mask]


def _check_taxonomy(spec: str, needed: str, config: RunConfig) -> None:
    if config.taxonomy != needed:
        raise UsageProblem(f"evaluation.dataset: '{spec}' has the classes of {needed}, not of {config.taxonomy}; change taxonomy")
