"""Pixels of a COCO segmentation: polygons and run lengths, by COCO's own tool (pycocotools).

pycocotools trusts its input: run lengths that do not fill the image leave memory as it was, and it takes no account of polygons' sizes.
So everything is checked before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

MIN_NUMBERS = 6
"""Coordinates of a triangle."""
MAX_OVERHANG = 10
"""A polygon may reach this many image sides out of the image. pycocotools walks along every edge, so a far corner costs memory."""
_DIGIT_BITS = 5
_FIRST_DIGIT = 48


def decode_region(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels (H, W) of a COCO segmentation: a list of polygons, or run lengths plain or compressed. ValueError says what is wrong."""
    if isinstance(segmentation, list):
        check_polygons(segmentation, max(height, width) * MAX_OVERHANG)
        encoded = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    else:
        lengths = _run_lengths(segmentation, height, width)
        encoded = coco_mask.frPyObjects({"counts": lengths, "size": [height, width]}, height, width)
    region: NDArray[np.bool_] = coco_mask.decode(encoded).astype(bool)
    return region


def check_polygons(polygons: list[Any], furthest: float) -> None:
    """ValueError unless there are polygons of three corners or more, as x, y, x, y, ... in pixels, none beyond +-`furthest`."""
    if not polygons:
        raise ValueError("segmentation has no polygon")
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise ValueError("segmentation must be a list of polygons, each a list of coordinates")
        if len(polygon) < MIN_NUMBERS or len(polygon) % 2:
            raise ValueError(f"a polygon has {len(polygon)} coordinates; it takes an even number of at least {MIN_NUMBERS}")
        # Written so that NaN fails, too; bool is an int to isinstance.
        if not all(type(number) in (int, float) and -furthest <= number <= furthest for number in polygon):
            raise ValueError("a polygon holds a coordinate that is no number or far outside the image")


def decompress_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed string: 5 bits a character, low ones first, then differences to the length two back.

    ValueError for a string that is cut or none of COCO's. pycocotools has the same in C and shows nobody the lengths, without which
    nobody knows whether they fill the image.
    """
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - _FIRST_DIGIT
        if not 0 <= bits < 1 << (_DIGIT_BITS + 1):
            raise ValueError(f"compressed run lengths hold the character {character!r}")
        value |= (bits & 0x1F) << shift
        shift += _DIGIT_BITS
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("compressed run lengths end in the middle of a number")
    return lengths


def _run_lengths(segmentation: Any, height: int, width: int) -> list[int]:
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("segmentation must be a list of polygons or an object with counts")
    size = segmentation.get("size", [height, width])
    if size != [height, width]:
        raise ValueError(f"run lengths are of size {size}, the image is [{height}, {width}]")
    counts = segmentation["counts"]
    lengths = decompress_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError("run lengths must be whole numbers, none below 0")
    if sum(lengths) != height * width:
        raise ValueError(f"run lengths add up to {sum(lengths)}, the image has {height * width} pixels")
    return lengths
