"""A small COCO on disk, for the tests of its readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthseg.datasets.coco_categories import MISSING_CATEGORIES, class_id
from synthseg.taxonomy import taxonomy

HEIGHT, WIDTH = 6, 8
ANNOTATIONS = "annotations/instances_val2014.json"


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def categories() -> list[dict[str, Any]]:
    """COCO's own."""
    ids = [i for i in range(1, 91) if i not in MISSING_CATEGORIES]
    return [{"id": i, "name": taxonomy("coco").by_id(class_id(i)).name, "supercategory": "thing"} for i in ids]


def content() -> dict[str, Any]:
    """Two images (3 and 9) with a car and a dog each, and one (5) without annotations."""
    images = [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg", "height": HEIGHT, "width": WIDTH} for i in (9, 3, 5)]
    annotations = []
    for i, image in enumerate((9, 3)):
        car = {"id": 2 * i + 1, "image_id": image, "category_id": 3, "area": 4.0, "iscrowd": 0, "segmentation": [square(0, 0, 2, 2)]}
        counts = {"counts": [0, HEIGHT * WIDTH], "size": [HEIGHT, WIDTH]}
        dogs = {"id": 2 * i + 2, "image_id": image, "category_id": 18, "area": 48, "iscrowd": 1, "segmentation": counts}
        annotations += [car, dogs]
    return {"images": images, "annotations": annotations, "categories": categories()}


def write(root: Path, annotations: dict[str, Any] | bytes) -> Path:
    """The dataset's folder, with `annotations` and a picture for every image of `content`."""
    for folder in ("val2014", "annotations"):
        (root / folder).mkdir(exist_ok=True)
    (root / ANNOTATIONS).write_bytes(annotations if isinstance(annotations, bytes) else json.dumps(annotations).encode())
    for image in content()["images"]:
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(root / "val2014" / image["file_name"])
    return root
