"""COCO's instance annotations: the file read and checked, before anybody relies on it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from synthseg.datasets.coco_categories import check_categories
from synthseg.datasets.coco_regions import check_polygons
from synthseg.datasets.paths import inside
from synthseg.errors import CorruptData

_OTHER_KINDS: Mapping[str, str] = {"caption": "captions", "segments_info": "panoptic annotations", "keypoints": "keypoints"}
"""A field of COCO's other annotation files, and what they hold."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotated object or crowd."""

    annotation_id: int
    category_id: int
    segmentation: Any
    area: float | None
    """In pixels, as the file has it; None where it has none."""


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image and what is annotated in it, in the file's order."""

    image_id: int
    path: Path
    height: int
    width: int
    instances: list[Instance] = field(default_factory=list)


def read_annotations(source: Path, folder: Path) -> list[AnnotatedImage]:
    """The images of an instance annotation file that have annotations, by id; their files are below `folder`.

    CorruptData, with the file and the image or annotation, for whatever is not as COCO defines it: all is checked but the run lengths,
    which are when their image is read. A byte order mark is fine.
    """
    content = _content(source)
    images: dict[int, AnnotatedImage] = {}
    names: set[Path] = set()
    for position, entry in enumerate(content["images"]):
        try:
            image = _image(entry, folder)
            if image.image_id in images or image.path in names:
                raise ValueError(f"id {image.image_id} or file {image.path.name} is listed twice")
        except ValueError as error:
            raise CorruptData(f"{source}: {_named('image', entry, position)}: {error}; restore the file") from None
        images[image.image_id] = image
        names.add(image.path)
    for position, entry in enumerate(content["annotations"]):
        try:
            image_id, instance = _instance(entry)
            if image_id not in images:
                raise ValueError(f"image_id {image_id} is not among the images")
        except ValueError as error:
            raise CorruptData(f"{source}: {_named('annotation', entry, position)}: {error}; use COCO's instance annotations") from None
        images[image_id].instances.append(instance)
    annotated = [images[image_id] for image_id in sorted(images) if images[image_id].instances]
    check_categories(content.get("categories"), {instance.category_id for image in annotated for instance in image.instances}, source)
    return annotated


def _content(source: Path) -> dict[str, Any]:
    try:
        content = json.loads(source.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptData(f"{source}: cannot be read as JSON ({error}); download it again") from None
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise CorruptData(f"{source}: has no list of {name}; use COCO's instance annotations")
    found: dict[str, Any] = content
    return found


def _image(entry: Any, folder: Path) -> AnnotatedImage:
    name = _field(entry, "file_name")
    if not isinstance(name, str):
        raise ValueError(f"file_name must be a text, not {shown(name)}")
    height, width = (_whole(entry, side) for side in ("height", "width"))
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, not {height} and {width}")
    return AnnotatedImage(_whole(entry, "id"), inside(folder, name), height, width)


def _instance(entry: Any) -> tuple[int, Instance]:
    """The image's id and the instance. ValueError says what is wrong."""
    kind = next((kind for mark, kind in _OTHER_KINDS.items() if isinstance(entry, dict) and mark in entry), None)
    if kind:
        raise ValueError(f"the file holds {kind}")
    annotation_id, image_id, category_id = (_whole(entry, name) for name in ("id", "image_id", "category_id"))
    segmentation = _field(entry, "segmentation")
    if isinstance(segmentation, list):
        check_polygons(segmentation, math.inf)
    elif not isinstance(segmentation, dict):
        raise ValueError(f"segmentation must be polygons or run lengths, not {shown(segmentation)}")
    area = entry.get("area")
    if area is not None and not (type(area) in (int, float) and 0 <= area < math.inf):
        raise ValueError(f"area must be a number, not {shown(area)}")
    return image_id, Instance(annotation_id, category_id, segmentation, area)


def _field(entry: Any, name: str) -> Any:
    if not isinstance(entry, dict):
        raise ValueError(f"must be an object, not {shown(entry)}")
    if name not in entry:
        raise ValueError(f"{name} is missing")
    return entry[name]


def _whole(entry: Any, name: str) -> int:
    value = _field(entry, name)
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, not {shown(value)}")
    return value


def _named(what: str, entry: Any, position: int) -> str:
    """How to find an entry again: by its id where it has one, else by its place."""
    found = entry.get("id") if isinstance(entry, dict) else None
    return f"{what} {found}" if type(found) is int else f"{what} number {position + 1} of the file"
