"""MS COCO 2014 val: semantic masks made from the instance annotations, as the code of weakly supervised segmentation makes them.

That code uses github.com/alicranck/coco2voc or masks made with it (its users say so: ToCo, AFA, WeCLIP, ...). The rules are its own:
regions are pycocotools', where instances overlap the one with the smaller `area` is seen, of equal ones the first in the file, crowd
regions count as their class, and images without annotations are left out (40,137 remain of 2014 val). Category ids 1..90 have gaps and
become the taxonomy's 1..80.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthseg.datasets.base import SegmentationSample
from synthseg.datasets.coco_annotations import Instance, read_annotations
from synthseg.datasets.coco_categories import class_id
from synthseg.datasets.coco_regions import decode_region
from synthseg.datasets.paths import check_files, require_file, require_folder
from synthseg.datasets.pictures import read_image
from synthseg.errors import CorruptData, UsageProblem
from synthseg.taxonomy import BACKGROUND_ID

ANNOTATIONS = Path("annotations", "instances_val2014.json")
IMAGES = "val2014"
_counted: dict[tuple[Path, int, int], int] = {}
"""How many images the annotation files that this process has read annotate, by path, time of change and size in bytes."""


class CocoDataset:
    """The first `limit` annotated images by id under `root` (the folder that holds val2014 and annotations); 0 takes all."""

    def __init__(self, root: Path, limit: int = 0) -> None:
        folder = require_folder(root / IMAGES, "COCO's val images")
        self._source = require_file(root / ANNOTATIONS, "COCO's instance annotations")
        stamp = _stamp(self._source)
        annotated = read_annotations(self._source, folder)
        _counted[stamp] = len(annotated)
        if not annotated:
            raise UsageProblem(f"evaluation.dataset: {self._source} annotates no image; restore the file")
        self._images = annotated[: limit or None]
        check_files((image.path for image in self._images), self._source)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> SegmentationSample:
        entry = self._images[index]
        # The picture first: its size is known to be one of an image before any memory is taken for the mask.
        image = read_image(entry.path, (entry.height, entry.width), "its annotations say")
        return SegmentationSample(entry.path.stem, image, semantic_mask(entry.instances, entry.height, entry.width, self._source))


def num_images(root: Path, limit: int = 0) -> int:
    """The length of `CocoDataset(root, limit)`, without reading the annotations when this process has read them as they are now.

    The number alone is kept: a run lasts long, and the annotations would fill memory that it needs.
    """
    source = require_file(root / ANNOTATIONS, "COCO's instance annotations")
    annotated = _counted.get(_stamp(source))
    return len(CocoDataset(root, limit)) if annotated is None else min(annotated, limit or annotated)


def _stamp(source: Path) -> tuple[Path, int, int]:
    """What changes when the file does."""
    status = source.stat()
    return source, status.st_mtime_ns, status.st_size


def semantic_mask(instances: Sequence[Instance], height: int, width: int, source: object = "annotations") -> NDArray[np.uint8]:
    """Mask (H, W) of taxonomy ids from instances. CorruptData names `source` and the annotation that cannot be read."""
    regions: list[tuple[float, int, NDArray[np.bool_]]] = []
    for instance in instances:
        try:
            region = decode_region(instance.segmentation, height, width)
            found = class_id(instance.category_id)
        except ValueError as error:
            raise CorruptData(f"{source}: annotation {instance.annotation_id}: {error}; restore the file") from None
        regions.append((float(region.sum()) if instance.area is None else instance.area, found, region))
    mask = np.full((height, width), BACKGROUND_ID, np.uint8)
    for _, found, region in sorted(regions, key=lambda item: item[0]):
        mask[region & (mask == BACKGROUND_ID)] = found
    return mask
