"""A person's head: hair styles, a face that turns with the view, hats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.bodies.furniture import Camera
from synthseg.embedded.scenes.geometry import ellipse, limb, polygon, spline
from synthseg.embedded.scenes.parts import BodyRequest, Part

Vector = NDArray[np.float64]


def head_parts(request: BodyRequest, size: float, camera: Camera, throat: Vector, head: Vector) -> list[Part]:
    """Neck, head, hair, face and hat, back to front: a head `size` high with its centre at `head` (3,), its neck from `throat` (3,)."""
    neck, (cx, cy) = camera.project(np.array([throat - (0, 0.02, 0), head])), camera.project(head[None])[0]
    ry = size / 2
    rx = ry * request.span(0.76, 0.88)
    turn, facing = float(np.sin(camera.yaw)), float(np.cos(camera.yaw))
    rx *= 1 + 0.12 * abs(turn)
    style = request.choose("short", "short", "long", "bun", "bald", "curly")
    parts: list[Part] = []
    if style == "long":
        fall = request.span(0.9, 1.7)
        strand = spline(
            [
                (-rx * 1.15, 0.2 * ry),
                (0, ry),
                (rx * 1.15, 0.2 * ry),
                (rx * 1.2, -ry * fall),
                (0, -ry * fall * 1.05),
                (-rx * 1.2, -ry * fall),
            ],
            4,
        )
        parts.append(Part(strand * (1 - 0.22 * abs(turn), 1.0) + (cx - 0.3 * turn * rx, cy), "hair", 0.7, 0.9))
    if style == "bun":
        parts.append(Part(ellipse(cx - turn * rx * 1.05, cy + ry * 0.75, ry * 0.42, ry * 0.42), "hair", 0.9))
    parts.append(Part(limb(neck, (ry * 0.48, ry * 0.46)), "skin", 0.6, 0.86))
    bald = style == "bald"
    swell = 1.22 if style == "curly" else 1.06
    if facing < -0.5:
        parts.append(Part(ellipse(cx, cy, rx, ry), "skin", 0.8))
        if not bald:
            parts.append(Part(ellipse(cx, cy + ry * 0.12, rx * swell, ry * 0.96 * swell), "hair", 0.8, texture="fur", texture_strength=0.2))
        if style == "long":
            parts.append(Part(parts[0].outline, "hair", 0.7, texture="fur", texture_strength=0.2))
    else:
        back = ellipse(cx, cy + ry * 0.1, rx * swell, ry * 0.95 * swell)
        parts.append(Part(back, "skin" if bald else "hair", 0.8, texture="smooth" if bald else "fur", texture_strength=0.2))
        shift = turn * rx * 0.28
        width = rx * (0.9 - 0.2 * abs(turn))
        face = spline(
            [
                (-width, 0.25 * ry),
                (-width * 0.8, 0.55 * ry),
                (width * 0.8, 0.55 * ry),
                (width, 0.25 * ry),
                (width * 0.85, -0.5 * ry),
                (width * 0.4 + 0.2 * turn * width, -ry),
                (-width * 0.4 + 0.2 * turn * width, -ry),
                (-width * 0.85, -0.5 * ry),
            ],
            4,
        )
        parts.append(Part(face + np.array((cx + shift, cy)), "skin", 0.7))
        if turn > 0.5:
            nose = cx + shift + width
            parts.append(
                Part(polygon([(nose - 0.02, cy + 0.15 * ry), (nose + 0.22 * ry, cy - 0.2 * ry), (nose - 0.02, cy - 0.3 * ry)]), "skin", 0.3)
            )
            parts.append(Part(ellipse(cx - 0.25 * rx, cy - 0.08 * ry, 0.13 * ry, 0.2 * ry, samples=10), "blush", 0.6))
        eyes = (0.55,) if turn > 0.75 else (-0.42 + 0.3 * turn, 0.42 + 0.3 * turn)
        for e in eyes:
            parts.append(Part(ellipse(cx + shift + e * width, cy + 0.08 * ry, 0.07 * ry, 0.08 * ry, samples=8), "eye", 0.0))
        mouth = cx + shift + width * 0.5 * turn
        parts.append(Part(ellipse(mouth, cy - 0.55 * ry, width * 0.28, 0.035 * ry, samples=8), "mouth", 0.0))
    if request.chance(0.25):
        parts += _hat(request, cx, cy, rx * 1.1, ry, turn if facing > -0.5 else 0.0)
    return parts


def _hat(request: BodyRequest, cx: float, cy: float, rx: float, ry: float, turn: float) -> list[Part]:
    t = np.linspace(0, np.pi, 14)
    dome = np.stack([cx + rx * 1.05 * np.cos(t), cy + 0.35 * ry + 0.85 * ry * np.sin(t)], axis=1)
    kind = request.choose("cap", "beanie", "brim")
    if kind == "cap":
        brim = ellipse(cx + turn * rx * 1.05, cy + 0.36 * ry, rx * (0.75 - 0.1 * abs(turn)), ry * 0.14)
        return [Part(dome, "hat", 0.8), Part(brim, "hat", 0.4, 0.75)]
    if kind == "beanie":
        return [
            Part(dome, "hat", 0.8, texture="wool", texture_strength=0.2),
            Part(ellipse(cx, cy + 0.38 * ry, rx * 1.08, 0.16 * ry), "hat", 0.6, 0.8),
        ]
    return [Part(ellipse(cx, cy + 0.4 * ry, rx * 1.9, ry * 0.22), "hat", 0.4, 0.85), Part(dome, "hat", 0.8)]
