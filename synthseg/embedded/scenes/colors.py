"""Colour words and what they look like."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.parts import Color

COLORS: dict[str, Color] = {
    "red": (196, 44, 40),
    "orange": (226, 124, 38),
    "yellow": (232, 202, 62),
    "green": (66, 140, 66),
    "blue": (52, 96, 186),
    "purple": (122, 70, 156),
    "pink": (226, 140, 170),
    "brown": (118, 78, 48),
    "black": (38, 36, 38),
    "white": (236, 234, 228),
    "gray": (132, 132, 134),
    "golden": (206, 160, 84),
    "silver": (188, 192, 198),
    "beige": (208, 188, 152),
    "teal": (48, 138, 140),
    "maroon": (112, 32, 42),
    "navy": (34, 44, 92),
    "cream": (238, 226, 196),
}


def tint(name: str, rng: np.random.Generator, spread: float = 14.0) -> Color:
    """The named colour, moved a little so that no two objects match exactly. KeyError for an unknown name."""
    base = np.asarray(COLORS[name]) + rng.normal(0.0, spread * 0.5, 3) + rng.normal(0.0, spread * 0.5)
    r, g, b = np.clip(base, 4, 251)
    return float(r), float(g), float(b)


def mix(a: Color, b: Color, share: float) -> Color:
    """Colour between `a` (share 0) and `b` (share 1)."""
    r, g, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return r, g, blue
