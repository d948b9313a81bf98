"""Outlines in body units: curves, limbs, boxes and the transforms on them.

Every function returns an outline: a float64 array of shape (N, 2), x to the right and y up, that closes on itself.
A body stands on y = 0; the raster turns y over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Outline = NDArray[np.float64]


def polygon(points: ArrayLike) -> Outline:
    """Outline with sharp corners at `points`, shape (N, 2)."""
    return np.asarray(points, dtype=np.float64)


def spline(points: ArrayLike, samples: int = 6) -> Outline:
    """Closed Catmull-Rom curve through `points` (N, 2), `samples` vertices between neighbours."""
    p1 = np.asarray(points, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = (np.arange(samples) / samples)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)


def ellipse(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, samples: int = 24) -> Outline:
    """Ellipse with centre (cx, cy) and radii (rx, ry), turned by `angle` radians."""
    t = np.linspace(0.0, 2 * np.pi, samples, endpoint=False)
    unit = np.stack([rx * np.cos(t), ry * np.sin(t)], axis=1)
    return np.asarray(rotate(unit, angle) + np.array((cx, cy)), np.float64)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Outline:
    """Axis-parallel rectangle, corners rounded by `radius`."""
    if radius <= 0:
        return polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = [(x1 - r, y0 + r, -np.pi / 2), (x1 - r, y1 - r, 0.0), (x0 + r, y1 - r, np.pi / 2), (x0 + r, y0 + r, np.pi)]
    t = np.linspace(0.0, np.pi / 2, 4)
    arcs = [np.stack([x + r * np.cos(a + t), y + r * np.sin(a + t)], axis=1) for x, y, a in corners]
    return np.concatenate(arcs)


def limb(points: ArrayLike, radii: Sequence[float], cap: int = 4) -> Outline:
    """Tube along the polyline `points` (N, 2) with a half-width per point and round ends: legs, necks, tails, pipes."""
    p = np.asarray(points, dtype=np.float64)
    r = np.asarray(radii, dtype=np.float64)[:, None]
    step = np.gradient(p, axis=0)
    step /= np.linalg.norm(step, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    t = np.linspace(0.0, np.pi, cap + 2)[1:-1]
    end = p[-1] + r[-1] * (np.cos(t)[:, None] * normal[-1] + np.sin(t)[:, None] * step[-1])
    start = p[0] + r[0] * (-np.cos(t)[:, None] * normal[0] - np.sin(t)[:, None] * step[0])
    return np.concatenate([p + r * normal, end, (p - r * normal)[::-1], start])


def rotate(outline: Outline, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Outline:
    """Outline turned by `angle` radians (counter-clockwise) about a point."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray((outline - about) @ np.array([[c, s], [-s, c]]) + about, np.float64)


def scale(outline: Outline, sx: float, sy: float | None = None, about: tuple[float, float] = (0.0, 0.0)) -> Outline:
    """Outline stretched by (sx, sy) about a point; one factor scales both."""
    return (outline - about) * (sx, sx if sy is None else sy) + about


def shear(outline: Outline, k: float) -> Outline:
    """Outline leaned to the right by k units of x for one unit of y."""
    return outline + outline[:, 1:2] * (k, 0.0)
