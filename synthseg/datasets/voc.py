"""PASCAL VOC 2012 in its devkit layout: the val list, JPEG images, palette masks."""

from __future__ import annotations

from pathlib import Path

from synthseg.datasets.base import SegmentationSample
from synthseg.datasets.paths import check_files, require_file, require_folder
from synthseg.datasets.pictures import read_pair
from synthseg.datasets.split_list import read_split_list
from synthseg.errors import UsageProblem
from synthseg.taxonomy import taxonomy

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
LIST = Path("ImageSets", "Segmentation", "val.txt")


class VocDataset:
    """The first `limit` images of the val list under `root` (the folder that holds JPEGImages); 0 takes all."""

    def __init__(self, root: Path, limit: int = 0) -> None:
        images, masks = require_folder(root / IMAGES, "VOC's images"), require_folder(root / MASKS, "VOC's masks")
        source = require_file(root / LIST, "VOC's list of val images")
        listed = read_split_list(source, root, images, masks)
        if not listed:
            raise UsageProblem(f"evaluation.dataset: {source} names no image; restore the list")
        self._pairs = listed[: limit or None]
        check_files((path for pair in self._pairs for path in (pair.image, pair.mask)), source)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> SegmentationSample:
        pair = self._pairs[index]
        image, mask = read_pair(pair.image, pair.mask, taxonomy("voc"))
        return SegmentationSample(pair.image.stem, image, mask)
