"""The sky: gradient, sun, clouds, stars."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.places.stage import Backdrop
from synthseg.embedded.scenes.textures import noise


def paint_sky(backdrop: Backdrop, bottom: float) -> None:
    """Paint rows 0..`bottom` (share of the height) as the mood's sky."""
    rows, width = round(bottom * backdrop.height), backdrop.width
    if rows <= 0:
        return
    mood, rng = backdrop.mood, backdrop.rng
    top_color, low_color = (np.asarray(c, np.float32) for c in (mood.sky_top, mood.sky_bottom))
    t = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None] ** (1.2 if backdrop.world.look == "training" else 0.8)
    sky = np.broadcast_to(top_color + (low_color - top_color) * t, (rows, width, 3)).copy()
    if mood.sun is not None:
        x = (backdrop.span(0.08, 0.38) if mood.sun_left else backdrop.span(0.62, 0.92)) * width
        y = rows * (1.0 - 0.75 * mood.sun_height - 0.12)
        dx, dy = np.arange(width, dtype=np.float32) - x, np.arange(rows, dtype=np.float32) - y
        distance = np.sqrt(dx[None, :] ** 2 + dy[:, None] ** 2) / backdrop.height
        glow = np.exp(-distance * 5.0)
        glow[distance < 0.03] = 1.4
        sky += (np.asarray(mood.sun, np.float32) - sky) * np.minimum(glow * 0.9, 1.0)[..., None]
    cover = _cloud_tile(int(rng.integers(4)), backdrop.world.look == "field")
    down, along = (int(v) for v in rng.integers(0, 256, 2))
    crop_rows = min(256, max(40, round(220 * rows / backdrop.height)))
    window = cv2.resize(cover[down : down + crop_rows, along : along + 256], (width, rows), interpolation=cv2.INTER_LINEAR)
    alpha = np.clip((window - (0.62 - 0.95 * mood.clouds)) * 2.4, 0.0, 1.0) * (0.85 if mood.dark < 0.5 else 0.35)
    lit = 252.0 * (1.0 - 0.35 * max(mood.clouds - 0.5, 0.0)) if mood.dark < 0.9 else 90.0
    cloud = 0.62 * lit + 0.38 * low_color
    shade = np.clip(1.12 - 0.30 * window, 0.8, 1.0)
    sky += (cloud * shade[..., None] - sky) * alpha[..., None]
    if mood.dark > 0.8:
        for _ in range(int(30 * (1 - mood.clouds)) + 4):
            x_star, y_star = int(rng.integers(width)), int(rng.integers(rows))
            sky[y_star : y_star + 2, x_star : x_star + 2] = 230
    backdrop.canvas[:rows] = np.clip(sky, 0, 255).astype(np.uint8)


@cache
def _cloud_tile(variant: int, streaky: bool) -> NDArray[np.float32]:
    """Cloud density (512, 512) in about -1..1; the field world's clouds lie in streaks."""
    seed = 52_000 + variant + (100 if streaky else 0)
    stretch = 3.0 if streaky else 1.6
    layers = ((1.0, 34.0), (0.55, 14.0), (0.3, 6.0), (0.15, 2.5))
    total = sum(w * noise(seed + 10 * i, s * stretch, s, 256) for i, (w, s) in enumerate(layers))
    field = np.asarray(total, np.float32)
    return np.tile(field / np.abs(field).max(), (2, 2))
