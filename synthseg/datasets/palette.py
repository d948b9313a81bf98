"""PASCAL VOC's colors: what a mask looks like when it was saved as a picture instead of as ids."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from synthseg.taxonomy import VOID_ID, taxonomy


@cache
def voc_colors() -> NDArray[np.uint8]:
    """RGB (256, 3) by id. Bits 0, 3, 6 of an id are the high bits of red, 1, 4, 7 of green, 2, 5 of blue (the devkit's VOCcolormap)."""
    ids = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        for level in range(3):
            bit = 3 * level + channel
            colors[:, channel] |= ((ids >> bit & 1) << (7 - level)).astype(np.uint8)
    return colors


def ids_of_colors(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class ids (H, W) of a mask in VOC's colors (H, W, 3), by exact color. ValueError names the first color that no class has."""
    known = np.array([*range(taxonomy("voc").num_classes + 1), VOID_ID])
    keys = _keys(voc_colors()[known])
    order = np.argsort(keys)
    wanted = _keys(picture)
    found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)]
    strange = keys[found] != wanted
    if strange.any():
        y, x = np.argwhere(strange)[0]
        raise ValueError(f"color {tuple(int(c) for c in picture[y, x])} at row {y}, column {x}")
    return known[found].astype(np.uint8)


def _keys(colors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """One number a color (..., 3)."""
    keys: NDArray[np.int64] = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return keys
