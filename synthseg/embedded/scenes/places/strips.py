"""Roads, paths, rails and marks that lie on a ground plane, running away from the viewer or across the view."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from synthseg.embedded.scenes.parts import Color
from synthseg.embedded.scenes.places.stage import Backdrop
from synthseg.embedded.scenes.places.surfaces import plane


def quad(backdrop: Backdrop, points: ArrayLike, color: Color) -> None:
    """Fill a flat polygon; points (N, 2) in shares of width and height."""
    fixed = np.round(np.asarray(points, np.float64) * (backdrop.width * 16, backdrop.height * 16)).astype(np.int32)
    cv2.fillPoly(backdrop.canvas, [fixed], color, lineType=cv2.LINE_8, shift=4)


def path(backdrop: Backdrop, material: str, horizon: float, far_width: float, near_width: float, marked: bool = False) -> None:
    """A way from the bottom edge to the horizon."""
    vanishing, bottom = backdrop.span(0.25, 0.75), backdrop.span(0.2, 0.8)
    before = backdrop.canvas.copy()
    plane(backdrop, material, horizon)
    outside = np.ones(backdrop.canvas.shape[:2], np.uint8)
    corners = [
        (vanishing - far_width / 2, horizon),
        (vanishing + far_width / 2, horizon),
        (bottom + near_width / 2, 1.0),
        (bottom - near_width / 2, 1.0),
    ]
    fixed = np.round(np.asarray(corners) * (backdrop.width, backdrop.height)).astype(np.int32)
    cv2.fillPoly(outside, [fixed], 0)
    np.copyto(backdrop.canvas, before, where=outside[..., None] > 0)
    if marked:
        center_line(backdrop, horizon, vanishing, bottom, near_width * 0.03)


def center_line(backdrop: Backdrop, horizon: float, vanishing: float, bottom: float, width: float) -> None:
    """Dashes that shrink towards the vanishing point."""
    near = 1.0
    while near > 0.08:
        far = near * 0.78
        ends = []
        for t, side in ((far, -1), (far, 1), (near, 1), (near, -1)):
            ends.append((vanishing + (bottom - vanishing) * t + side * width * t / 2, horizon + (1 - horizon) * t))
        quad(backdrop, ends, (226, 222, 204))
        near *= 0.6


def cross_road(backdrop: Backdrop, material: str, horizon: float, far: float, near: float) -> None:
    """A road across the view between two rows, with kerbs and a dashed middle line."""
    plane(backdrop, material, far, near, horizon=horizon)
    quad(backdrop, [(0, far - 0.012), (1, far - 0.012), (1, far), (0, far)], (178, 174, 166))
    quad(backdrop, [(0, far), (1, far), (1, far + 0.008), (0, far + 0.008)], (82, 80, 78))
    quad(backdrop, [(0, near), (1, near), (1, near + 0.022), (0, near + 0.022)], (186, 182, 174))
    middle = far + (near - far) * 0.42
    start = backdrop.span(-0.15, 0.0)
    for x in np.arange(start, 1.0, 0.2).tolist():
        quad(backdrop, [(x, middle), (x + 0.1, middle), (x + 0.094, middle + 0.012), (x - 0.006, middle + 0.012)], (224, 220, 204))


def cross_rails(backdrop: Backdrop, far: float, near: float) -> None:
    """A railway track across the view between two rows."""
    depth = near - far
    for x in np.arange(-0.02, 1.02, 0.045).tolist():
        quad(backdrop, [(x, far), (x + 0.022, far), (x + 0.018, near), (x - 0.006, near)], (92, 74, 60))
    for y in (far + 0.18 * depth, near - 0.25 * depth):
        quad(backdrop, [(0, y), (1, y), (1, y + 0.012), (0, y + 0.012)], (150, 144, 140))
        quad(backdrop, [(0, y + 0.012), (1, y + 0.012), (1, y + 0.018), (0, y + 0.018)], (62, 54, 50))


def rails(backdrop: Backdrop, horizon: float, vanishing: float, bottom: float, gauge: float) -> None:
    """A railway track from the bottom edge to the horizon."""
    t = 1.0
    while t > 0.07:
        x, y = vanishing + (bottom - vanishing) * t, horizon + (1 - horizon) * t
        half, thick = gauge * t * 0.8, 0.035 * t
        quad(backdrop, [(x - half, y), (x + half, y), (x + half, y + thick), (x - half, y + thick)], (94, 76, 62))
        t *= 0.86
    for side in (-1, 1):
        near, thick = bottom + side * gauge / 2, gauge * 0.06
        quad(backdrop, [(vanishing, horizon), (near - thick, 1.0), (near + thick, 1.0)], (164, 158, 154))
