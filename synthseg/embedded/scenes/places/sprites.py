"""Props as ready-made pictures: painted once a process, then only resized, tinted and pasted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.places.props import PROPS
from synthseg.embedded.scenes.places.stage import Backdrop
from synthseg.embedded.scenes.raster import Light, Placement, paint_body
from synthseg.embedded.scenes.worlds import Look

VARIANTS = 5
PIXELS = 176


@dataclass(frozen=True, slots=True)
class Sprite:
    """A prop cut out to its bounding box."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    """0 or 255."""
    units: float
    """Height in body units, so that a fence is lower than a tree."""


Pasted = tuple[int, int, NDArray[np.bool_]]
"""Top row, left column and silhouette of what was pasted, in canvas pixels."""


@cache
def sprite(kind: str, variant: int, look: Look) -> Sprite:
    """The prop `kind` of `PROPS`; the variant fixes its shape and colours."""
    seed = 70_000 + 31 * variant + 7 * sum(map(ord, kind)) + (900_000 if look == "field" else 0)
    rng = np.random.default_rng(seed)
    body = PROPS[kind](rng, look)
    points = np.concatenate([part.outline for part in body.parts])
    low, high = points.min(axis=0), points.max(axis=0)
    pixels = PIXELS / max(high[1] - low[1], (high[0] - low[0]) / 1.6, 0.1)
    width, height = int((high[0] - low[0]) * pixels) + 4, int((high[1] - low[1]) * pixels) + 4
    canvas = np.zeros((height, width, 3), np.uint8)
    placement = Placement(x=2 - low[0] * pixels, y=height - 2 + low[1] * pixels, scale=pixels)
    mask = paint_body(canvas, body, placement, Light(), rng)
    canvas[mask == 0] = canvas[mask > 0].mean(axis=0).astype(np.uint8)
    return Sprite(canvas, mask * np.uint8(255), float(high[1] - low[1]))


def paste(
    backdrop: Backdrop, kind: str, x: float, foot: float, size: float, *, far: float = 0.0, stretch: float = 1.0, shadow: bool = True
) -> Pasted | None:
    """Put a prop with its foot at (`x`, `foot`), shares of width and height; one body unit is `size` of the height.

    `far` 0..1 fades it into the haze. None if nothing of it is on the canvas.
    """
    rng = backdrop.rng
    variant, mirrored = int(rng.integers(VARIANTS)), bool(rng.random() < 0.5)
    tint = 1.0 + rng.normal(0.0, 0.05, 3)
    picture = sprite(kind, variant, backdrop.world.look)
    rows = round(size * picture.units * backdrop.height)
    columns = round(rows * picture.rgb.shape[1] / picture.rgb.shape[0] * stretch)
    if rows < 2 or columns < 2:
        return None
    left, top = round(x * backdrop.width - columns / 2), round(foot * backdrop.height) - rows
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + columns, backdrop.width), min(top + rows, backdrop.height)
    if x0 >= x1 or y0 >= y1:
        return None
    mode = cv2.INTER_AREA if rows < picture.rgb.shape[0] else cv2.INTER_LINEAR
    rgb = np.asarray(cv2.resize(picture.rgb, (columns, rows), interpolation=mode))
    mask = np.asarray(cv2.resize(picture.mask, (columns, rows), interpolation=mode))
    if mirrored:
        rgb, mask = rgb[:, ::-1], mask[:, ::-1]
    window = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    fade = min(0.85, far * (0.25 + 0.75 * backdrop.mood.haze))
    matrix = np.zeros((3, 4), np.float32)
    matrix[np.arange(3), np.arange(3)] = tint * (1 - fade)
    matrix[:, 3] = np.asarray(backdrop.mood.sky_bottom) * fade
    colored = np.asarray(cv2.transform(np.ascontiguousarray(rgb[window]), matrix), np.uint8)
    inside = mask[window] > 127
    if shadow and far < 0.6:
        contact_shadow(
            backdrop.canvas, x * backdrop.width, foot * backdrop.height, columns * 0.5, max(2.0, columns * 0.09), 0.5 * backdrop.mood.shadow
        )
    np.copyto(backdrop.canvas[y0:y1, x0:x1], colored, where=inside[..., None])
    return y0, x0, inside


@cache
def _soft_ellipse() -> NDArray[np.float32]:
    y, x = np.mgrid[-1:1:33j, -1:1:65j]
    return np.asarray(np.clip(1.15 - np.sqrt(x * x + y * y) * 1.15, 0, 1) ** 0.8, np.float32)


def contact_shadow(canvas: NDArray[np.uint8], x: float, y: float, rx: float, ry: float, strength: float) -> None:
    """Darken a soft ellipse with centre (x, y) and radii in canvas pixels, in place."""
    x0, x1 = max(int(x - rx), 0), min(int(x + rx) + 1, canvas.shape[1])
    y0, y1 = max(int(y - ry), 0), min(int(y + ry) + 1, canvas.shape[0])
    if x1 - x0 < 1 or y1 - y0 < 1:
        return
    full = cv2.resize(_soft_ellipse(), (max(1, int(2 * rx) + 2), max(1, int(2 * ry) + 2)), interpolation=cv2.INTER_LINEAR)
    part = full[y0 - int(y - ry) :, x0 - int(x - rx) :][: y1 - y0, : x1 - x0]
    region = canvas[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    factor = 1.0 - strength * part
    region[:] = (region * factor[..., None]).astype(np.uint8)
