"""A small perspective camera, so that a vehicle drawn as flat sides, faces and tubes can be seen from any direction.

Vehicle axes: x forward (right in the side view), y up, z towards the viewer of the side view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from synthseg.embedded.scenes.geometry import Outline, limb
from synthseg.embedded.scenes.parts import Part


@dataclass(frozen=True, slots=True)
class Camera:
    """Looks at the origin; yaw 0 sees the side, pi/2 the front; elevation above 0 looks down (radians)."""

    yaw: float = 0.0
    elevation: float = 0.0
    perspective: float = 0.0
    """How much a point grows for each unit it lies nearer than the origin; 0 is a parallel projection."""

    def project(self, points: ArrayLike) -> Outline:
        """Points (N, 3) in vehicle axes to (N, 2) in body units."""
        p = np.asarray(points, dtype=np.float64)
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        ce, se = np.cos(self.elevation), np.sin(self.elevation)
        right = p[:, 0] * c - p[:, 2] * s
        forth = p[:, 0] * s + p[:, 2] * c
        up = p[:, 1] * ce - forth * se
        near = forth * ce + p[:, 1] * se
        flat: Outline = np.stack([right, up], axis=1) / (1.0 - self.perspective * near)[:, None]
        return flat

    def on_side(self, outline: Outline, z: float, lean: float = 0.0, belt: float = 0.0) -> Outline:
        """Outline (N, 2) of the side view put at depth z, leaning inwards by `lean` per unit above height `belt`."""
        depth = z - lean * np.maximum(outline[:, 1] - belt, 0.0)
        return self.project(np.column_stack([outline, depth]))

    def on_front(self, outline: Outline, x: float) -> Outline:
        """Outline (N, 2) of the front view (seen from ahead) put at the length x."""
        return self.project(np.column_stack([np.full(len(outline), x), outline[:, 1], -outline[:, 0]]))

    def side_parts(self, parts: Sequence[Part], z: float, lean: float = 0.0, belt: float = 0.0) -> list[Part]:
        """Parts of the side view moved to depth z, see `on_side`."""
        return _with_vertices(parts, self.on_side(_vertices(parts), z, lean, belt))

    def front_parts(self, parts: Sequence[Part], x: float) -> list[Part]:
        """Parts of the front view moved to length x."""
        return _with_vertices(parts, self.on_front(_vertices(parts), x))

    def strip(self, start: tuple[float, float], end: tuple[float, float], half_start: float, half_end: float) -> Outline:
        """Four-cornered panel across the vehicle between two profile points (x, y) with their half-widths."""
        (xa, ya), (xb, yb) = start, end
        return self.project([(xa, ya, half_start), (xb, yb, half_end), (xb, yb, -half_end), (xa, ya, -half_start)])

    def tube(self, points: ArrayLike, radius: float | Sequence[float], cap: int = 2) -> Outline:
        """Round tube along points (N, 3); one radius or one per point, unchanged by perspective."""
        flat = self.project(points)
        radii = [radius] * len(flat) if isinstance(radius, int | float) else list(radius)
        return limb(flat, radii, cap)


def fillet(points: ArrayLike, radius: float, samples: int = 4) -> Outline:
    """Closed polygon (N, 2) whose corners are rounded over `radius` units, at most 45 % of the shorter edge."""
    p = np.asarray(points, dtype=np.float64)
    before, after = np.roll(p, 1, axis=0) - p, np.roll(p, -1, axis=0) - p

    def towards(edge: Outline) -> Outline:
        length = np.linalg.norm(edge, axis=1, keepdims=True) + 1e-9
        return np.asarray(p + edge * np.minimum(radius / length, 0.45))

    a, b = towards(before)[:, None, :], towards(after)[:, None, :]
    t = np.linspace(0.0, 1.0, samples)[None, :, None]
    return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * p[:, None, :] + t**2 * b).reshape(-1, 2)


def settle(parts: Sequence[Part]) -> list[Part]:
    """Parts centred on x = 0 and moved so that the lowest point is y = 0."""
    vertices = _vertices(parts)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return _with_vertices(parts, vertices - ((low[0] + high[0]) / 2, low[1]))


def _vertices(parts: Sequence[Part]) -> Outline:
    return np.concatenate([part.outline for part in parts])


def _with_vertices(parts: Sequence[Part], vertices: Outline) -> list[Part]:
    """Copies of `parts` with their outlines taken from the rows of `vertices` in turn."""
    ends = np.cumsum([len(part.outline) for part in parts]).tolist()
    return [replace(part, outline=vertices[end - len(part.outline) : end]) for part, end in zip(parts, ends, strict=True)]
