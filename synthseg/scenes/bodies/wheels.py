"""Wheels of vehicles: closed ones with tyre, rim and gaps, and open ones of thin spokes the background shows through."""

from __future__ import annotations

import numpy as np

from synthseg.scenes.bodies.livery import metal, plain
from synthseg.scenes.geometry import Outline, ellipse, limb
from synthseg.scenes.parts import Part


def ring(cx: float, cy: float, rx: float, ry: float, thickness: float, samples: int = 28) -> Outline:
    """Flat ring with outer radii (rx, ry) as one outline: around outside, across, back inside."""
    t = np.linspace(0.0, 2 * np.pi, samples)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)
    inner = (max(rx - thickness, 0.0), max(ry - thickness, 0.0))
    return np.concatenate([circle * (rx, ry), circle[::-1] * inner]) + (cx, cy)


def closed_wheel(cx: float, cy: float, radius: float, rim: float = 0.62, num_gaps: int = 5, phase: float = 0.0, shade: float = 1.0) -> list[Part]:
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
    cx: float, cy: float, radius: float, tyre: float, num_spokes: int, phase: float = 0.0, squash: float = 1.0, spoke: float = 0.008, role: str = "metal"
) -> list[Part]:
    """Open wheel: tyre ring of width `tyre`, rim, `num_spokes` thin spokes of half-width `spoke`, hub.

    `squash` narrows it as seen from ahead (the cosine of the yaw); at 0 only the tyre's tread is left.
    """
    rx = max(radius * squash, tyre * 0.5)
    parts = []
    if squash > 0.25:
        for angle in phase + np.arange(num_spokes) * 2 * np.pi / max(num_spokes, 1):
            x, y = cx + rx * 0.94 * np.cos(angle), cy + radius * 0.94 * np.sin(angle)
            parts.append(plain(limb([(cx, cy), (x, y)], [spoke, spoke], cap=1), role))
        parts.append(metal(ring(cx, cy, rx - tyre * 0.8, radius - tyre * 0.8, tyre * 0.6), role))
        parts.append(metal(ellipse(cx, cy, radius * 0.11 * squash, radius * 0.11, samples=12), "steel"))
    parts.append(plain(ring(cx, cy, rx, radius, tyre), "tyre", bulge=0.6))
    return parts
