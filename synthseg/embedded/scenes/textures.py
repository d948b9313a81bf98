"""Grey texture tiles in -1..1, made once a process from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Tile = NDArray[np.float32]
SIZE = 256
VARIANTS = 6


def texture_tile(kind: str, rng: np.random.Generator) -> Tile:
    """One of the variants of `kind` (SIZE, SIZE) float32 in -1..1, shifted at random; `rng` alone decides which."""
    variant, dx, dy = (int(v) for v in rng.integers((VARIANTS, SIZE, SIZE)))
    return _doubled(kind, variant)[dy : dy + SIZE, dx : dx + SIZE]


def noise(seed: int, sigma_x: float, sigma_y: float | None = None, size: int = SIZE) -> Tile:
    """Wrapped smooth noise (size, size) with unit maximum; the sigmas are in pixels."""
    grains = np.random.default_rng(seed).standard_normal((size, size)).astype(np.float32)
    frequency_y, frequency_x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    spread = (frequency_x * sigma_x) ** 2 + (frequency_y * (sigma_y or sigma_x)) ** 2
    smooth = np.fft.irfft2(np.fft.rfft2(grains) * np.exp(-2.0 * np.pi**2 * spread), s=(size, size))
    smooth -= smooth.mean()
    return np.ascontiguousarray(smooth / (np.abs(smooth).max() + 1e-6), dtype=np.float32)


@cache
def _doubled(kind: str, variant: int) -> Tile:
    seed = 1000 * sorted(_MAKERS).index(kind) + variant
    return np.tile(_MAKERS[kind](seed), (2, 2))


def _sharpen(tile: Tile, gain: float) -> Tile:
    return np.asarray(np.tanh(tile * gain), np.float32)


_MAKERS: dict[str, Callable[[int], Tile]] = {
    "fur": lambda s: 0.6 * noise(s, 1.0, 2.5) + 0.6 * noise(s + 50, 6),
    "wool": lambda s: _sharpen(noise(s, 3.2), 2.5),
    "spots": lambda s: _sharpen(noise(s, 7) - 0.35, 12),
    "stripes": lambda s: _sharpen(noise(s, 3, 28), 9),
    "patches": lambda s: _sharpen(noise(s, 16), 14),
    "wood": lambda s: _sharpen(noise(s, 40, 1.6), 2.0),
    "fabric": lambda s: 0.8 * noise(s, 0.8) + 0.5 * noise(s + 50, 12),
    "metal": lambda s: noise(s, 30, 2.0),
    "leaf": lambda s: _sharpen(noise(s, 2.2), 3.0),
    "feather": lambda s: _sharpen(noise(s, 2.0, 5.0), 1.5),
}
