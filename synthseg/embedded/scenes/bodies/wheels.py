"""Wheels of vehicles: closed ones with tyre, rim and gaps, and open ones of thin spokes the background shows through."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import metal, plain
from synthseg.embedded.scenes.geometry import Outline, box, ellipse
from synthseg.embedded.scenes.parts import Part

BOGIE_TOP = 0.14
"""Height of a carriage's lower edge; bogies fill the space below."""


def ring(cx: float, cy: float, rx: float, ry: float, thickness: float, samples: int = 28) -> Outline:
    """Flat ring with outer radii (rx, ry) as one outline: around outside, across, back inside."""
    t = np.linspace(0.0, 2 * np.pi, samples)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)
    inner = (max(rx - thickness, 0.0), max(ry - thickness, 0.0))
    outline: Outline = np.concatenate([circle * (rx, ry), circle[::-1] * inner]) + np.array((cx, cy))
    return outline


def closed_wheel(
    cx: float, cy: float, radius: float, rim: float = 0.62, num_gaps: int = 5, phase: float = 0.0, shade: float = 1.0
) -> list[Part]:
    """Wheel of a car or bus: tyre, rim disc (`rim` of the radius) with `num_gaps` dark openings, and hub."""
    parts = [
        plain(ellipse(cx, cy, radius, radius), "tyre", shade),
        metal(ellipse(cx, cy, radius * rim, radius * rim), "metal", 0.92 * shade),
    ]
    middle, gap = radius * rim * 0.62, radius * rim * min(0.30, 1.15 / max(num_gaps, 1))
    for angle in phase + np.arange(num_gaps) * 2 * np.pi / max(num_gaps, 1):
        x, y = cx + middle * np.cos(angle), cy + middle * np.sin(angle)
        parts.append(plain(ellipse(x, y, gap, gap * 0.7, angle, samples=8), "dark", shade))
    parts.append(metal(ellipse(cx, cy, radius * rim * 0.22, radius * rim * 0.22, samples=10), "steel", shade))
    return parts


def spoked_wheel(
    cx: float,
    cy: float,
    radius: float,
    tyre: float,
    num_spokes: int,
    phase: float = 0.0,
    squash: float = 1.0,
    spoke: float = 0.008,
    role: str = "metal",
) -> list[Part]:
    """Open wheel: tyre ring of width `tyre`, rim, `num_spokes` thin spokes of half-width `spoke`, hub.

    `squash` narrows it as seen from ahead (the cosine of the yaw); at 0 only the tyre's tread is left.
    """
    rx = max(radius * squash, tyre * 0.5)
    parts: list[Part] = []
    if squash > 0.25:
        angles = phase + np.arange(num_spokes) * 2 * np.pi / max(num_spokes, 1)
        tips = 0.94 * np.stack([rx * np.cos(angles), radius * np.sin(angles)], axis=1)
        across = tips[:, ::-1] * (-1.0, 1.0)
        across *= spoke / np.linalg.norm(across, axis=1, keepdims=True)
        strips = np.stack([-across, tips - across, tips + across, across], axis=1) + np.array((cx, cy))
        parts += [plain(strip, role) for strip in strips]
        parts.append(metal(ring(cx, cy, rx - tyre * 0.8, radius - tyre * 0.8, tyre * 0.45), role))
        parts.append(metal(ellipse(cx, cy, radius * 0.11 * squash, radius * 0.11, samples=12), "steel"))
    parts.append(plain(ring(cx, cy, rx, radius, tyre), "tyre", bulge=0.6))
    return parts


def bogie(x: float, num_wheels: int = 2) -> list[Part]:
    """Small wheels of a railway carriage and their frame, centred on x, below `BOGIE_TOP`."""
    reach = 0.085
    parts = [plain(ellipse(x + dx, 0.06, 0.06, 0.06, samples=14), "steel", 0.7, bulge=0.7) for dx in np.linspace(-reach, reach, num_wheels)]
    parts.append(plain(box(x - reach - 0.05, 0.07, x + reach + 0.05, 0.11, 0.02), "dark"))
    return parts
