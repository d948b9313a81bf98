"""Pictures inside the page: small thumbnails and colored masks as data URIs."""

from __future__ import annotations

import base64
import colorsys
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthseg.taxonomy import BACKGROUND_ID, VOID_ID

THUMBNAIL_PX: Final = 192
PANEL_PX: Final = 256
_BACKGROUND_RGB: Final = (34, 39, 46)
_VOID_RGB: Final = (205, 210, 216)
_GOLDEN_ANGLE: Final = 0.61803398875
_SHADES: Final = ((0.62, 0.93), (0.78, 0.72), (0.42, 0.98))


def class_color(index: int) -> tuple[int, int, int]:
    """RGB of class `index` (1..K): hues far apart for neighbours, three shades in turn."""
    saturation, value = _SHADES[index % len(_SHADES)]
    r, g, b = colorsys.hsv_to_rgb((0.02 + index * _GOLDEN_ANGLE) % 1.0, saturation, value)
    return round(r * 255), round(g * 255), round(b * 255)


def hex_color(index: int) -> str:
    """CSS color of class `index`; 0 is the background."""
    r, g, b = _BACKGROUND_RGB if index == BACKGROUND_ID else class_color(index)
    return f"#{r:02x}{g:02x}{b:02x}"


def thumbnail(encoded: bytes, size_px: int = THUMBNAIL_PX) -> str:
    """Data URI of an encoded image, at most `size_px` on its longer side."""
    with Image.open(io.BytesIO(encoded)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    return _uri(image, "webp", quality=82, method=2)


def read_mask(encoded: bytes) -> NDArray[np.uint8]:
    """Indices (H, W) of a mask PNG in class order; palette or gray."""
    with Image.open(io.BytesIO(encoded)) as opened:
        mask: NDArray[np.uint8] = np.asarray(opened, np.uint8)
    return mask if mask.ndim == 2 else mask[..., 0]


def mask_picture(mask: NDArray[np.uint8]) -> str:
    """Data URI of mask indices (H, W), colored by class."""
    image = Image.fromarray(mask).convert("P")
    palette = [_BACKGROUND_RGB, *(class_color(i) for i in range(1, VOID_ID)), _VOID_RGB]
    image.putpalette([channel for color in palette for channel in color])
    image.thumbnail((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)
    return _uri(image, "png", optimize=True)


def image_iou(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> float:
    """Mean IoU of one image over the classes of its truth, background included, void ignored."""
    if prediction.shape != truth.shape:
        size = (truth.shape[1], truth.shape[0])
        prediction = np.asarray(Image.fromarray(prediction).resize(size, Image.Resampling.NEAREST), np.uint8)
    valid = truth != VOID_ID
    ious = []
    for index in np.unique(truth[valid]):
        hit, guess = (truth == index) & valid, (prediction == index) & valid
        ious.append(float((hit & guess).sum() / max(int((hit | guess).sum()), 1)))
    return float(np.mean(ious)) if ious else 0.0


def _uri(image: Image.Image, kind: str, **options: int | bool) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
