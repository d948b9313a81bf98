"""PASCAL VOC 2012 in its devkit layout: the val list, JPEG images, palette masks."""

from __future__ import annotations

from pathlib import Path

from synthseg.datasets.base import SegmentationSample, read_image, read_mask, require
from synthseg.errors import UsageProblem

LIST = Path("ImageSets", "Segmentation", "val.txt")


class VocDataset:
    """The first `limit` images of the val list under `root` (the folder that holds JPEGImages); 0 takes all."""

    def __init__(self, root: Path, limit: int = 0) -> None:
        self._images = require(root / "JPEGImages", "VOC's images")
        self._masks = require(root / "SegmentationClass", "VOC's masks")
        names = require(root / LIST, "VOC's list of val images").read_text(encoding="ascii").split()
        if not names:
            raise UsageProblem(f"evaluation.dataset: {root / LIST} names no image; restore the list")
        self._names = names[: limit or None]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> SegmentationSample:
        name = self._names[index]
        return SegmentationSample(name, read_image(self._images / f"{name}.jpg"), read_mask(self._masks / f"{name}.png"))
