"""Boxes, round solids and rods in three dimensions, seen by a camera and turned into painted parts.

Axes of an object: x across its width, y up, z out of its front. All lengths in body units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthseg.embedded.scenes.geometry import Outline, limb
from synthseg.embedded.scenes.parts import BodyRequest, Part, Texture, View

Points = NDArray[np.float64]
Point = tuple[float, float, float]

_FACES: tuple[tuple[Point, tuple[int, int, int, int]], ...] = (
    ((0, 0, 1), (1, 5, 7, 3)),
    ((0, 0, -1), (4, 0, 2, 6)),
    ((1, 0, 0), (5, 4, 6, 7)),
    ((-1, 0, 0), (0, 1, 3, 2)),
    ((0, 1, 0), (3, 7, 6, 2)),
    ((0, -1, 0), (0, 4, 5, 1)),
)
"""Outward normal and corners, counter-clockwise from outside; corner index is 4 x + 2 y + z."""

_YAWS: dict[str, tuple[float, float]] = {
    "front": (-8.0, 8.0),
    "back": (172.0, 188.0),
    "three_quarter": (26.0, 52.0),
    "top": (15.0, 50.0),
}


@dataclass(slots=True)
class Camera:
    """Looks at the origin; `yaw` turns the object's front from the viewer (0) to the right (90 degrees)."""

    yaw: float
    """Radians."""
    pitch: float
    """Radians the camera looks down."""
    distance: float = 6.0
    """Body units from the origin; small values give a strong perspective."""
    _axes: Points = field(init=False, repr=False)
    """(3, 3): columns across, up and towards the viewer."""

    def __post_init__(self) -> None:
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        self._axes = np.array([[cy, sy * sp, -sy * cp], [0.0, cp, sp], [sy, -cy * sp, cy * cp]])

    def project(self, points: ArrayLike) -> Outline:
        """Points (N, 3) on the picture plane, (N, 2), y up."""
        seen = np.asarray(points, dtype=np.float64) @ self._axes
        flat: Outline = seen[:, :2] * (self.distance / (self.distance - seen[:, 2:]))
        return flat

    def toward(self) -> Points:
        """Unit vector (3,) from the object to the viewer."""
        return self._axes[:, 2]

    def shade_of(self, normal: Point) -> float:
        """Brightness factor of a flat face: bright on top, darker to the right and away from the viewer."""
        x, y, z = normal
        if y > 0.5:
            return 1.12
        if y < -0.5:
            return 0.5
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        return float(0.76 + 0.22 * (z * cy - x * sy) - 0.14 * (x * cy + z * sy))


def view_camera(
    request: BodyRequest,
    view: View,
    low_pitch: float,
    high_pitch: float,
    distance: float = 6.0,
    side_yaw: tuple[float, float] = (84.0, 90.0),
) -> Camera:
    """A camera for the named view, angles in degrees; a long body narrows `side_yaw` so that its side view still tells its length."""
    low, high = side_yaw if view == "side" else _YAWS[view]
    pitch = request.span(low_pitch, high_pitch) + (14.0 if view == "top" else 0.0)
    return Camera(np.radians(request.rng.uniform(low, high)), np.radians(pitch), distance)


def rounded(outline: Outline, share: float) -> Outline:
    """Outline with its corners cut twice (Chaikin); `share` of each edge goes at either end."""
    return _rounding(len(outline), round(share, 2)) @ outline


@cache
def _rounding(num_corners: int, share: float) -> Points:
    weights = np.eye(num_corners)
    for cut in (share, 0.25):
        following = np.roll(weights, -1, axis=0)
        pair = np.stack([weights + cut * (following - weights), following + cut * (weights - following)], axis=1)
        weights = pair.reshape(-1, num_corners)
    return weights


@dataclass(slots=True)
class _Solid:
    low: Points
    high: Points
    parts: list[Part]


@dataclass(slots=True)
class Model:
    """Solids of one object; `parts` gives them back to front, standing on y = 0 and centred on x = 0."""

    camera: Camera
    solids: list[_Solid] = field(default_factory=list)

    def _add(self, corners: Points, parts: list[Part], sheet: bool = False) -> None:
        low, high = corners.min(axis=0), corners.max(axis=0)
        # a hanging cloth sorts as what lies on top, for it covers all that it wraps
        self.solids.append(_Solid(np.array([low[0], high[1] - 1e-4, low[2]]) if sheet else low, high, parts))

    def box(
        self,
        low: Point,
        high: Point,
        role: str,
        *,
        lean: float = 0.0,
        soft: float = 0.0,
        bulge: float = 0.15,
        texture: Texture = "smooth",
        texture_strength: float = 0.0,
        gloss: float = 0.0,
        sheet: bool = False,
    ) -> None:
        """A box between two corners; `lean` shifts z for a unit of height, `soft` (0..0.3) rounds it like a cushion; a `sheet`
        wraps the solids inside it.
        """
        corners = np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        rest = corners.copy()
        corners[:, 2] += lean * (corners[:, 1] - low[1])
        flat = self.camera.project(corners)
        parts = []
        if soft > 0:
            hull = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)
            parts.append(Part(rounded(hull, soft), role, bulge, 0.8, texture, texture_strength, gloss))
        for normal, indices in _FACES:
            face = flat[list(indices)]
            if _area(face) <= 1e-5:
                continue
            outline = rounded(face, soft) if soft > 0 else face
            parts.append(Part(outline, role, bulge, self.camera.shade_of(normal), texture, texture_strength, gloss))
        self._add(rest, parts, sheet)

    def round(
        self,
        center: tuple[float, float],
        heights: Sequence[float],
        radii: Sequence[float],
        role: str,
        *,
        top_role: str | None = None,
        bulge: float = 0.5,
        texture: Texture = "smooth",
        texture_strength: float = 0.0,
        gloss: float = 0.0,
        stretch: float = 1.0,
        sheet: bool = False,
    ) -> None:
        """A turned solid about the vertical axis through `center` (x, z): a radius per height; `stretch` widens x; a `sheet`
        wraps the solids inside it.
        """
        t = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
        rings = [
            np.stack([center[0] + stretch * r * np.cos(t), np.full_like(t, y), center[1] + r * np.sin(t)], axis=1)
            for y, r in zip(heights, radii, strict=True)
        ]
        flat = [self.camera.project(ring) for ring in rings]
        parts = []
        for lower, upper in pairwise(flat):
            hull = cv2.convexHull(np.concatenate([lower, upper]).astype(np.float32))[:, 0].astype(np.float64)
            parts.append(Part(hull, role, bulge, 0.92, texture, texture_strength, gloss))
        parts.append(Part(flat[-1], top_role or role, 0.1, 1.1, texture, texture_strength, gloss))
        self._add(np.concatenate(rings), parts, sheet)

    def rod(self, points: Sequence[Point], radii: Sequence[float], role: str, *, shade: float = 1.0, gloss: float = 0.0) -> None:
        """A bent tube through `points` with a radius per point: turned legs, frames, wheels' arms."""
        p = np.asarray(points, dtype=np.float64)
        self._add(p, [Part(limb(self.camera.project(p), radii, cap=3), role, 0.7, shade, gloss=gloss)])

    def decal(self, corners: ArrayLike, role: str, *, bulge: float = 0.0, shade: float = 1.0, gloss: float = 0.0) -> None:
        """A flat shape (N, 3) on the face of the solid added last; skipped when it faces away."""
        outline = self.camera.project(corners)
        if _area(outline) > 1e-6:
            self.solids[-1].parts.append(Part(outline, role, bulge, shade, gloss=gloss))

    def parts(self) -> list[Part]:
        """All parts in painting order, moved onto the ground and centred."""
        ordered = [part for index in _painting_order(self.solids, self.camera) for part in self.solids[index].parts]
        return grounded(ordered)


def grounded(parts: list[Part]) -> list[Part]:
    """The same parts moved so that they stand on y = 0 with their width centred on x = 0."""
    points = np.concatenate([part.outline for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    shift = np.array([(low[0] + high[0]) / 2, low[1]])
    for part in parts:
        part.outline = part.outline - shift
    return parts


def _area(outline: Outline) -> float:
    x, y = outline[:, 0], outline[:, 1]
    return float(0.5 * (x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]))


def _painting_order(solids: list[_Solid], camera: Camera) -> list[int]:
    """Indices back to front: of two solids apart along an axis, the one on the viewer's side comes later."""
    low, high = np.array([s.low for s in solids]), np.array([s.high for s in solids])
    toward = camera.toward()
    # beyond[i, j, k]: along axis k, solid i lies wholly below solid j
    beyond = high[:, None, :] <= low[None, :, :] + 1e-6
    cannot_hide = np.any((beyond & (toward > 0.01)) | (beyond.transpose(1, 0, 2) & (toward < -0.01)), axis=2)
    depth = ((low + high) / 2) @ toward
    both = ~cannot_hide & ~cannot_hide.T
    before = (cannot_hide & ~cannot_hide.T) | (both & (depth[:, None] < depth[None, :]))
    np.fill_diagonal(before, False)
    waiting = list(range(len(solids)))
    order: list[int] = []
    while waiting:
        blocked = before[np.ix_(waiting, waiting)].any(axis=0)
        free = [i for i, stuck in zip(waiting, blocked, strict=True) if not stuck] or [min(waiting, key=lambda i: depth[i])]
        order += free
        waiting = [i for i in waiting if i not in set(free)]
    return order
