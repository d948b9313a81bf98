"""Augmentation of (image, mask) pairs: what keeps a decoder from learning one generator's style.

Geometry: scale, flip, a crop chosen by how much of the object it keeps, mosaics (generated images are single and centred, photographs
are not). Looks: colour, gray, blur, lower resolution, JPEG.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.taxonomy import BACKGROUND_ID, VOID_ID

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Pair = tuple[Image, Mask]

SCALES = (0.5, 2.0)
CROP_CANDIDATES = 6
PAD_VALUE = 124


def augment(pairs: Sequence[Pair], crop: int, rng: np.random.Generator) -> Pair:
    """One training pair (crop, crop) from one image, or a mosaic of the two to four given."""
    image, mask = scaled_crop(*pairs[0], (crop, crop), rng) if len(pairs) == 1 else mosaic(pairs, crop, rng)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(change_looks(np.ascontiguousarray(image), rng)), np.ascontiguousarray(mask)


def scaled_crop(image: Image, mask: Mask, size: tuple[int, int], rng: np.random.Generator, scales: tuple[float, float] = SCALES) -> Pair:
    """The pair at a random log-uniform scale, cropped to `size` (h, w) or padded with ignored pixels."""
    scale = float(np.exp(rng.uniform(np.log(scales[0]), np.log(scales[1]))))
    height, width = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    image = _u8(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    mask = _u8(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))
    top, left = crop_by_mass(mask, size, rng)
    image, mask = image[top : top + size[0], left : left + size[1]], mask[top : top + size[0], left : left + size[1]]
    missing_y, missing_x = size[0] - image.shape[0], size[1] - image.shape[1]
    if missing_y or missing_x:
        above, before = int(rng.integers(missing_y + 1)), int(rng.integers(missing_x + 1))
        borders = (above, missing_y - above, before, missing_x - before)
        image = _u8(cv2.copyMakeBorder(image, *borders, cv2.BORDER_CONSTANT, value=(PAD_VALUE,) * 3))
        mask = _u8(cv2.copyMakeBorder(mask, *borders, cv2.BORDER_CONSTANT, value=(VOID_ID,)))
    return image, mask


def crop_by_mass(mask: Mask, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Corner (top, left) of a random crop, drawn in proportion to the class pixels it keeps; uniform where there are none."""
    room_y, room_x = max(0, mask.shape[0] - size[0]), max(0, mask.shape[1] - size[1])
    tops, lefts = rng.integers(room_y + 1, size=CROP_CANDIDATES), rng.integers(room_x + 1, size=CROP_CANDIDATES)
    if not (room_y or room_x):
        return 0, 0
    mass = (mask != BACKGROUND_ID) & (mask != VOID_ID)
    weights = np.array([mass[t : t + size[0], x : x + size[1]].sum() for t, x in zip(tops, lefts, strict=True)], dtype=np.float64) + 1.0
    chosen = int(rng.choice(CROP_CANDIDATES, p=weights / weights.sum()))
    return int(tops[chosen]), int(lefts[chosen])


def mosaic(pairs: Sequence[Pair], crop: int, rng: np.random.Generator) -> Pair:
    """Two to four pairs side by side on one (crop, crop) canvas, the cuts off-centre at random."""
    cut_y, cut_x = (round(crop * float(rng.uniform(0.35, 0.65))) for _ in range(2))
    image, mask = np.empty((crop, crop, 3), np.uint8), np.empty((crop, crop), np.uint8)
    columns = [(0, cut_x), (cut_x, crop)]
    rows = [(0, cut_y), (cut_y, crop)]
    cells = {
        2: [((0, crop), columns[0]), ((0, crop), columns[1])] if rng.random() < 0.5 else [(rows[0], (0, crop)), (rows[1], (0, crop))],
        3: [((0, crop), columns[0]), (rows[0], columns[1]), (rows[1], columns[1])],
        4: [(row, column) for row in rows for column in columns],
    }[len(pairs)]
    for pair, ((top, bottom), (left, right)) in zip(pairs, cells, strict=True):
        size = (bottom - top, right - left)
        # Small cells take smaller pictures, so that most of an object fits.
        fit = max(size[0] / pair[0].shape[0], size[1] / pair[0].shape[1])
        part = scaled_crop(*pair, size, rng, (fit, 1.5 * fit))
        image[top:bottom, left:right], mask[top:bottom, left:right] = part
    return image, mask


def change_looks(image: Image, rng: np.random.Generator) -> Image:
    """Colour, gray, blur, noise, lower resolution and JPEG, each with its own chance."""
    if rng.random() < 0.8:
        image = _color(image, rng)
    if rng.random() < 0.1:
        image = _u8(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    if rng.random() < 0.2:
        image = _u8(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.4))))
    if rng.random() < 0.2:
        height, width = image.shape[:2]
        share = float(rng.uniform(0.45, 0.9))
        small = cv2.resize(image, (max(1, round(width * share)), max(1, round(height * share))), interpolation=cv2.INTER_AREA)
        image = _u8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    if rng.random() < 0.2:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 12))
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))])[1]
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return image


def _color(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, contrast, brightness, saturation and a channel's own gain."""
    x = image.astype(np.float32) / 255
    gray = x.mean(axis=-1, keepdims=True)
    x = gray + (x - gray) * np.float32(rng.uniform(0.5, 1.6))
    x = x * rng.uniform(0.85, 1.15, size=3).astype(np.float32)
    x = (x - 0.5) * np.float32(rng.uniform(0.6, 1.4)) + np.float32(rng.uniform(0.35, 0.65))
    return np.asarray(np.clip(x, 0, 1) ** np.float32(rng.uniform(0.7, 1.4)) * 255, dtype=np.uint8)


def _u8(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8)
