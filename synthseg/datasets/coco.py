"""MS COCO 2014 val: semantic masks made from the instance annotations.

Category ids 1..90 have gaps and become the taxonomy's 1..80. Where instances overlap the smaller one is on top, as usual for
semantic masks from instances; crowd regions count as their class. Images without annotations are left out (40,137 of 2014 val).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.datasets.base import SegmentationSample, read_image, require
from synthseg.errors import CorruptData, UsageProblem
from synthseg.taxonomy import taxonomy

ANNOTATIONS = Path("annotations", "instances_val2014.json")
IMAGES = "val2014"
MISSING_CATEGORIES = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Category ids below 90 that COCO never used."""
FINER = 5
"""Odd, so that every fifth sample of the fine grid is a pixel's centre."""


class CocoDataset:
    """The first `limit` annotated images by id under `root` (the folder that holds val2014 and annotations); 0 takes all."""

    def __init__(self, root: Path, limit: int = 0) -> None:
        self._folder = require(root / IMAGES, "COCO's val images")
        path = require(root / ANNOTATIONS, "COCO's instance annotations")
        content = json.loads(path.read_text(encoding="utf-8"))
        self._instances: dict[int, list[dict[str, Any]]] = {}
        for instance in content["annotations"]:
            self._instances.setdefault(instance["image_id"], []).append(instance)
        annotated = sorted((image for image in content["images"] if image["id"] in self._instances), key=lambda image: int(image["id"]))
        if not annotated:
            raise UsageProblem(f"evaluation.dataset: {path} annotates no image; restore the file")
        self._images = annotated[: limit or None]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> SegmentationSample:
        entry = self._images[index]
        image = read_image(self._folder / entry["file_name"])
        mask = semantic_mask(self._instances[entry["id"]], entry["height"], entry["width"])
        if mask.shape != image.shape[:2]:
            raise CorruptData(f"{self._folder / entry['file_name']}: is {image.shape[:2]}, its annotations say {mask.shape}; replace it")
        return SegmentationSample(Path(entry["file_name"]).stem, image, mask)


def class_id(category_id: int) -> int:
    """Taxonomy id 1..80 of a COCO category id 1..90. CorruptData for an id that COCO does not have."""
    if category_id in MISSING_CATEGORIES or not 1 <= category_id <= taxonomy("coco").num_classes + len(MISSING_CATEGORIES):
        raise CorruptData(f"annotations: category id {category_id} is none of COCO's; use the instance annotations of 2014")
    return category_id - sum(missing < category_id for missing in MISSING_CATEGORIES)


def semantic_mask(instances: Sequence[Mapping[str, Any]], height: int, width: int) -> NDArray[np.uint8]:
    """Mask (H, W) of taxonomy ids from instance annotations."""
    mask = np.zeros((height, width), np.uint8)
    for instance in sorted(instances, key=lambda i: (-float(i["area"]), int(i["id"]))):
        mask[decode_region(instance["segmentation"], height, width)] = class_id(instance["category_id"])
    return mask


def decode_region(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels (H, W) of a COCO segmentation: a list of polygons, or run lengths plain or compressed."""
    if isinstance(segmentation, list):
        region = np.zeros((height, width), bool)
        for polygon in segmentation:
            _fill(region, np.asarray(polygon, np.float64).reshape(-1, 2))
        return region
    counts = segmentation["counts"]
    lengths = decompress_counts(counts) if isinstance(counts, str) else counts
    if sum(lengths) != height * width:
        raise CorruptData(f"annotations: run lengths add up to {sum(lengths)}, the image has {height * width} pixels; restore the file")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _fill(region: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Set the pixels of `region` (H, W) whose centre lies in the polygon; `corners` (N, 2) are x, y in pixels from the top left."""
    height, width = region.shape
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)), (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    # OpenCV also draws the outline; on a grid several times finer it stays well below a pixel.
    fine = np.zeros(((bottom - top) * FINER, (right - left) * FINER), np.uint8)
    points = np.round(((corners - (left, top)) * FINER - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(fine, [points], 1, shift=8)
    region[top:bottom, left:right] |= fine[FINER // 2 :: FINER, FINER // 2 :: FINER] > 0


def decompress_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed string: 5 bits a character, low ones first, then differences to the length two back."""
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    return lengths
