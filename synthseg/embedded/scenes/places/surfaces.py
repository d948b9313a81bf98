"""Textured surfaces: RGB tiles of the materials, flat walls, and ground planes seen in perspective."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.palettes import num_ramps, ramp
from synthseg.embedded.scenes.places.stage import Backdrop
from synthseg.embedded.scenes.textures import Tile, noise
from synthseg.embedded.scenes.worlds import Look

SIZE = 512
VARIANTS = 5


@cache
def material_tile(material: str, variant: int, look: Look) -> NDArray[np.uint8]:
    """A wrapping RGB tile (SIZE, SIZE, 3) of a material; training and field tiles differ in grain, contrast and colour."""
    seed = 40_000 + 97 * variant + 1009 * sum(map(ord, material)) + (500_000 if look == "field" else 0)
    pattern = _RECIPES.get(material, _grainy)(seed, 1.0 if look == "training" else 1.7)
    if look == "field":
        pattern = 0.85 * pattern + 0.55 * noise(seed + 5, 60, 40, SIZE)
    share = np.clip(0.5 + 0.5 * pattern, -0.25, 1.25)[..., None]
    dark, light = ramp(look, material, variant)
    tone = noise(seed + 9, 50, 50, SIZE)[..., None] * np.array([6.0, -2.0, -6.0], np.float32)
    rgb = np.asarray(dark, np.float32) * (1 - share) + np.asarray(light, np.float32) * share + tone
    return np.asarray(np.clip(rgb, 0, 255), np.uint8)


@cache
def _mean_color(material: str, variant: int, look: Look) -> NDArray[np.float32]:
    return np.asarray(material_tile(material, variant, look).reshape(-1, 3).mean(axis=0), np.float32)


def draw_variant(backdrop: Backdrop, material: str) -> int:
    """A tile variant, every ramp of the material equally likely."""
    return int(backdrop.rng.integers(max(VARIANTS, num_ramps(backdrop.world.look, material))))


def plane(
    backdrop: Backdrop, material: str, top: float, bottom: float = 1.0, horizon: float | None = None, zoom: float = 1.0, fade: float = 1.0
) -> None:
    """Paint rows `top`..`bottom` as a level plane of a material, seen towards `horizon` (default: just above `top`).

    `zoom` above 1 makes the grain larger; `fade` is how much the far part blends to its mean colour and the haze.
    """
    y0, y1 = round(top * backdrop.height), round(bottom * backdrop.height)
    if y1 <= y0:
        return
    width, look = backdrop.width, backdrop.world.look
    variant = draw_variant(backdrop, material)
    tile = material_tile(material, variant, look)
    vanishing = (top - 0.04 if horizon is None else horizon) * backdrop.height
    reach = backdrop.height - vanishing
    a = reach / zoom * (256 / backdrop.height)
    b = 1.6 * reach * a
    ox, oz = (float(v) for v in backdrop.rng.uniform(0, SIZE, 2))
    cx = width * backdrop.span(0.3, 0.7)
    h = vanishing - y0
    matrix = np.array([[a, ox, -a * cx - ox * h], [0.0, oz, b - oz * h], [0.0, 1.0, -h]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(tile, matrix, (width, y1 - y0), flags=flags, borderMode=cv2.BORDER_WRAP).astype(np.float32)
    depth = (np.arange(y0, y1, dtype=np.float32) + 0.5 - vanishing) / reach
    sharp = np.clip(depth * 2.2 - 0.1, 0.12, 1.0)[:, None, None] if fade > 0 else 1.0
    mean = _mean_color(material, variant, look)
    seen = mean + (seen - mean) * sharp
    haze = (fade * backdrop.mood.haze * np.clip(1.0 - 1.6 * depth, 0.0, 1.0))[:, None, None]
    shade = (0.90 + 0.14 * np.clip(depth, 0, 1))[:, None, None]
    seen = seen * shade + (np.asarray(backdrop.mood.sky_bottom, np.float32) - seen) * haze
    backdrop.canvas[y0:y1] = np.clip(seen, 0, 255).astype(np.uint8)


def wall(
    backdrop: Backdrop,
    material: str,
    top: float,
    bottom: float,
    zoom: float = 1.0,
    left: float = 0.0,
    right: float = 1.0,
    shade: float = 1.0,
) -> None:
    """Paint an upright rectangle of a material, a little darker towards its ends."""
    y0, y1 = round(top * backdrop.height), round(bottom * backdrop.height)
    x0, x1 = round(left * backdrop.width), round(right * backdrop.width)
    if y1 <= y0 or x1 <= x0:
        return
    window = crop(backdrop, material, y1 - y0, x1 - x0, zoom).astype(np.float32)
    rows = np.linspace(1.03, 0.93, y1 - y0, dtype=np.float32)[:, None, None]
    bright, dim = (1.05, 0.90) if backdrop.mood.sun_left else (0.90, 1.05)
    columns = np.linspace(bright, dim, x1 - x0, dtype=np.float32)[None, :, None]
    backdrop.canvas[y0:y1, x0:x1] = np.clip(window * (rows * shade) * columns, 0, 255).astype(np.uint8)


def crop(backdrop: Backdrop, material: str, rows: int, columns: int, zoom: float = 1.0) -> NDArray[np.uint8]:
    """A random (rows, columns, 3) window of a material's tile."""
    zoom *= backdrop.height / 256
    tile = material_tile(material, draw_variant(backdrop, material), backdrop.world.look)
    need_y, need_x = max(1, round(rows / zoom)), max(1, round(columns / zoom))
    dy, dx = (int(v) for v in backdrop.rng.integers(0, SIZE, 2))
    window = tile[(np.arange(need_y) + dy) % SIZE][:, (np.arange(need_x) + dx) % SIZE]
    return np.asarray(cv2.resize(window, (columns, rows), interpolation=cv2.INTER_LINEAR), np.uint8)


def ridge(backdrop: Backdrop, material: str, base: float, height: float, roughness: float, distance: float) -> None:
    """Paint a skyline of hills, mountains or woods that stands on row `base`; `distance` 0..1 fades it into the haze."""
    width, canvas_height = backdrop.width, backdrop.height
    low, high = base - height, base
    profile = _profile(int(backdrop.rng.integers(8)), roughness)
    start, stretch = int(backdrop.rng.integers(SIZE)), backdrop.span(0.7, 1.5)
    columns = (start + np.arange(width) * stretch * SIZE / (2.0 * width)).astype(int) % SIZE
    top = (low + (high - low) * 0.75 * (1 - profile[columns])) * canvas_height
    y0, y1 = max(int(top.min()), 0), min(round(high * canvas_height), canvas_height)
    if y1 <= y0:
        return
    window = crop(backdrop, material, y1 - y0, width, 1.0).astype(np.float32)
    slope = np.gradient(cv2.GaussianBlur(top[None, :].astype(np.float32), (0, 0), 2.0)[0])
    lit = 1.0 + np.clip(-slope if backdrop.mood.sun_left else slope, -1, 1) * 0.16
    window *= lit[None, :, None]
    fade = min(0.88, distance * (0.35 + 0.65 * backdrop.mood.haze) + 0.15 * backdrop.mood.haze)
    window += (np.asarray(backdrop.mood.sky_bottom, np.float32) - window) * fade
    mask = np.arange(y0, y1)[:, None] >= top[None, :]
    region = backdrop.canvas[y0:y1]
    np.copyto(region, np.clip(window, 0, 255).astype(np.uint8), where=mask[..., None])


@cache
def _profile(variant: int, roughness: float) -> NDArray[np.float32]:
    """A wrapping skyline (SIZE,) in 0..1; a higher roughness adds peaks."""
    broad = noise(61_000 + variant, 45, 45, SIZE)[0]
    broad = broad / (np.abs(broad).max() + 1e-6)
    fine = noise(62_000 + variant, 7, 7, SIZE)[0]
    fine = fine / (np.abs(fine).max() + 1e-6)
    line = broad + roughness * fine
    return np.asarray((line - line.min()) / (line.max() - line.min() + 1e-6), np.float32)


def _grainy(seed: int, zoom: float) -> Tile:
    return np.asarray(
        0.75 * noise(seed, 1.2 * zoom, None, SIZE) + 0.6 * noise(seed + 1, 9 * zoom, None, SIZE) + 0.5 * noise(seed + 2, 40, None, SIZE),
        np.float32,
    )


def _blades(seed: int, zoom: float) -> Tile:
    return np.asarray(
        (
            0.8 * noise(seed, 1.0, 3.2 * zoom, SIZE)
            + 0.7 * noise(seed + 1, 6 * zoom, 9 * zoom, SIZE)
            + 0.6 * noise(seed + 2, 34, None, SIZE)
        ),
        np.float32,
    )


def _soft(seed: int, zoom: float) -> Tile:
    return np.asarray(0.25 * noise(seed, 1.4 * zoom, None, SIZE) + 0.7 * noise(seed + 1, 22 * zoom, 9 * zoom, SIZE), np.float32)


def _waves(seed: int, zoom: float) -> Tile:
    crest = np.tanh(3 * noise(seed, 16 * zoom, 3.0, SIZE)) * 0.55 + np.tanh(3 * noise(seed + 1, 5 * zoom, 1.4, SIZE)) * 0.4
    return np.asarray(crest + 0.3 * noise(seed + 2, 60, None, SIZE), np.float32)


def _plaster(seed: int, zoom: float) -> Tile:
    return np.asarray(0.25 * noise(seed, 1.0 * zoom, None, SIZE) + 0.4 * noise(seed + 1, 60, None, SIZE), np.float32)


def _woods(seed: int, zoom: float) -> Tile:
    return np.asarray(np.tanh(2.4 * noise(seed, 5 * zoom, None, SIZE)) * 0.7 + 0.5 * noise(seed + 1, 1.5, None, SIZE), np.float32)


def _courses(seed: int, columns: int, rows: int, shift: float, seam: int, seam_value: float, grain: Tile) -> Tile:
    """Blocks in courses: planks, tiles, bricks, paving; each block has its own brightness."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    row = y * rows // SIZE
    moved = (x + (row * shift * SIZE / columns).astype(int)) % SIZE
    column = moved * columns // SIZE
    tone = rng.uniform(-0.55, 0.55, (rows, columns)).astype(np.float32)
    pattern = tone[row, column] + 0.6 * grain
    joint = ((y * rows) % SIZE < seam * rows) | ((moved * columns) % SIZE < seam * columns)
    return np.asarray(np.where(joint, seam_value, pattern), np.float32)


def _planks(seed: int, zoom: float) -> Tile:
    return np.ascontiguousarray(_courses(seed, 3, round(14 / zoom), 0.37, 2, -1.3, noise(seed + 1, 40, 1.5, SIZE) * 1.2).T)


def _tiles(seed: int, zoom: float) -> Tile:
    return _courses(seed, round(10 / zoom), round(10 / zoom), 0.0, 3, -1.2, noise(seed + 1, 4, None, SIZE))


def _brick(seed: int, zoom: float) -> Tile:
    return _courses(seed, round(14 / zoom), round(32 / zoom), 0.5, 2, 1.5, noise(seed + 1, 1.2, None, SIZE))


def _paving(seed: int, zoom: float) -> Tile:
    return _courses(seed, round(14 / zoom), round(18 / zoom), 0.5, 3, -1.1, noise(seed + 1, 2, None, SIZE))


def _wallpaper(seed: int, zoom: float) -> Tile:
    x = np.arange(SIZE, dtype=np.float32)[None, :]
    stripe = np.sign(np.sin(2 * np.pi * x * round(16 / zoom) / SIZE)) * np.ones((SIZE, 1), np.float32)
    return np.asarray(0.5 * stripe + 0.2 * noise(seed, 1.2, None, SIZE), np.float32)


def _carpet(seed: int, zoom: float) -> Tile:
    return np.asarray(0.8 * noise(seed, 0.9 * zoom, None, SIZE) + 0.4 * noise(seed + 1, 30, None, SIZE), np.float32)


_RECIPES: dict[str, Callable[[int, float], Tile]] = {
    "grass": _blades, "dry grass": _blades, "sand": _soft, "snow": _soft, "sea": _waves, "lake": _waves, "plaster": _plaster,
        "facade": _plaster,
    "woods": _woods, "leaf": _woods, "forest floor": _woods, "planks": _planks, "tiles": _tiles, "brick": _brick, "paving": _paving,
    "wallpaper": _wallpaper, "carpet": _carpet,
}  # fmt: skip
