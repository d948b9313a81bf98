"""What an evaluation split is, and how its name becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData, UsageProblem
from synthseg.taxonomy import BACKGROUND_ID, VOID_ID

PALETTE_MODES = ("P", "L")
"""Pillow modes whose stored bytes are the class ids themselves."""


@dataclass(frozen=True, slots=True)
class SegmentationSample:
    """One image with its exact mask."""

    name: str
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
        """Sample `index` (0..len - 1; IndexError beyond). CorruptData when a file cannot be read."""
        ...


def open_dataset(spec: str, config: RunConfig) -> SegmentationDataset:
    """The split that `spec` names: `field`, `voc:PATH`, `coco:PATH` or `folder:PATH`.

    `config` gives its taxonomy and `evaluation.num_images`, the number of samples taken from its start (0: all). UsageProblem names
    the file or folder that is missing, or the taxonomy that does not fit.
    """
    kind, _, path = spec.partition(":")
    limit = config.evaluation.num_images
    if kind == "field" and not path:
        from synthseg.datasets.field import FieldDataset

        _check_taxonomy("field", "voc", config)
        return FieldDataset(config)
    if not path:
        raise UsageProblem(f"evaluation.dataset: '{spec}' must be field, voc:PATH, coco:PATH or folder:PATH")
    if kind == "voc":
        from synthseg.datasets.voc import VocDataset

        _check_taxonomy(spec, "voc", config)
        return VocDataset(Path(path), limit)
    if kind == "coco":
        from synthseg.datasets.coco import CocoDataset

        _check_taxonomy(spec, "coco", config)
        return CocoDataset(Path(path), limit)
    if kind == "folder":
        from synthseg.datasets.folder import FolderDataset

        return FolderDataset(Path(path), limit)
    raise UsageProblem(f"evaluation.dataset: kind '{kind}' is unknown; use field, voc:PATH, coco:PATH or folder:PATH")


def to_class_order(mask: NDArray[np.uint8], config: RunConfig) -> NDArray[np.uint8]:
    """`mask` (H, W) with taxonomy ids, in the run's own: k + 1 for class k of `class_infos()`, background for others, void stays."""
    table = np.full(256, BACKGROUND_ID, np.uint8)
    table[VOID_ID] = VOID_ID
    for index, info in enumerate(config.class_infos(), start=1):
        table[info.class_id] = index
    return table[mask]


def require(path: Path, what: str) -> Path:
    """`path` if it exists, else UsageProblem that says what is missing."""
    if not path.exists():
        raise UsageProblem(f"evaluation.dataset: {path} is missing ({what}); place the dataset there or correct the path")
    return path


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of an image file; grey ones are stacked. CorruptData when it cannot be read."""
    decoded = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise CorruptData(f"{path}: cannot be read as an image; replace the file")
    return np.asarray(decoded, np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Class ids (H, W) of a palette or 8-bit grey PNG: the stored indices, never colours. CorruptData for any other file."""
    try:
        with Image.open(path) as stored:
            if stored.mode not in PALETTE_MODES:
                raise CorruptData(f"{path}: is a '{stored.mode}' image; a mask must be a palette or 8-bit grey PNG of class ids")
            return np.array(stored, np.uint8)
    except OSError as error:
        raise CorruptData(f"{path}: cannot be read as a mask ({error}); replace the file") from error


def _check_taxonomy(spec: str, needed: str, config: RunConfig) -> None:
    if config.taxonomy != needed:
        raise UsageProblem(f"evaluation.dataset: '{spec}' has the classes of {needed}, not of {config.taxonomy}; change taxonomy")
