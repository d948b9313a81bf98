"""Sheep: a curly fleece on thin short legs, a bare narrow face with drooping ears, sometimes coiled horns."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.quadruped import Frame, assemble, pick_pose, pick_view
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import ellipse, limb, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part


def sheep(request: BodyRequest) -> Body:
    """A sheep about 0.95 units tall; poses standing, walking, grazing, lying, running."""
    dark = request.chance(0.6)
    skin: Color = (50, 44, 44) if dark else (224, 204, 182)
    fleece = tint(request.color, request.rng) if request.color else tint("cream", request.rng, 10)
    size = request.span(0.24, 0.30)
    ear = request.span(0.09, 0.13)
    topknot = request.span(0.05, 0.08)
    ram = request.chance(0.2)
    curl = request.span(0.06, 0.085)

    def horn(x: float, y: float, side: float) -> Part:
        t = np.linspace(0.3, 5.2, 9)
        radius = curl * (1.15 - 0.13 * t)
        path = np.stack([x - side * radius * np.sin(t), y + radius * np.cos(t)], axis=1)
        return Part(limb(path, list(np.linspace(0.034, 0.008, 9))), "horn", 0.6)

    def knot(y: float) -> Part:
        bumps = np.array(
            [
                (np.cos(a) * (1.0 + 0.12 * (k % 2)), np.sin(a) * (1.0 + 0.12 * (k % 2)))
                for k, a in enumerate(np.linspace(0, 2 * np.pi, 12, endpoint=False))
            ]
        )
        return Part(spline(bumps * (1.25 * topknot, topknot) + (-0.01, y), 3), "coat", 0.7, 1.0, "wool", 0.18)

    def head() -> list[Part]:
        skull = [(-0.07, 0.05), (0.02, 0.085), (0.45 * size, 0.075), (0.80 * size, 0.03), (size, -0.02), (0.97 * size, -0.07)]
        under = [(0.75 * size, -0.085), (0.35 * size, -0.10), (0.0, -0.11), (-0.08, -0.04)]
        parts = [
            Part(spline(skull + under, 4), "skin", 0.6),
            Part(spline([(0.02, 0.03), (-0.5 * ear, 0.03), (-1.1 * ear, -0.05), (-0.5 * ear, -0.05)], 3), "ear", 0.4),
            knot(0.065),
            Part(ellipse(0.40 * size, 0.015, 0.018, 0.014, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.4),
            Part(ellipse(0.96 * size, -0.025, 0.014, 0.009, 0.7, 8), "nose", 0.1),
            Part(limb([(0.97 * size, -0.055), (0.80 * size, -0.055)], [0.005, 0.005], 1), "mouth", 0.1),
        ]
        if ram:
            parts.append(horn(-0.03, 0.02, 1.0))
        return parts

    def face() -> list[Part]:
        parts = [
            Part(
                spline(
                    [(s * 0.05, 0.02), (s * (0.05 + 0.6 * ear), 0.02), (s * (0.06 + 1.2 * ear), -0.05), (s * (0.05 + 0.5 * ear), -0.045)], 3
                ),
                "ear",
                0.4,
            )
            for s in (-1, 1)
        ]
        long = [
            (-0.085, 0.03),
            (0, 0.07),
            (0.085, 0.03),
            (0.08, -0.3 * size),
            (0.05, -0.8 * size),
            (0, -size),
            (-0.05, -0.8 * size),
            (-0.08, -0.3 * size),
        ]
        parts += [Part(spline(long, 4), "skin", 0.6), knot(0.055)]
        for s in (-1, 1):
            parts.append(Part(ellipse(s * 0.062, -0.22 * size, 0.014, 0.016, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.4))
            parts.append(Part(ellipse(s * 0.020, -0.86 * size, 0.010, 0.013, 0.6 * s, 8), "nose", 0.1))
            if ram:
                parts.append(horn(s * 0.10, 0.0, -s))
        return parts

    def tail_of(pose: str) -> list[Part]:
        path = [(0.02, 0.02), (-0.04, -0.02), (-0.05, -0.16)] if pose != "back" else [(0.0, 0.05), (0.0, -0.05), (0.0, -0.16)]
        return [Part(limb(path, [0.04, 0.045, 0.035]), "coat", 0.6, 0.9, "wool", 0.18)]

    frame = Frame(
        leg=request.span(0.24, 0.31),
        depth=request.span(0.42, 0.52),
        length=request.span(0.82, 1.0),
        width=request.span(0.44, 0.56),
        neck_length=request.span(0.20, 0.27),
        neck_angle=request.span(24, 44),
        neck_base=request.span(0.13, 0.16),
        neck_tip=request.span(0.095, 0.115),
        head_angle=request.span(-40, -20),
        thigh=request.span(0.06, 0.08),
        shank=request.span(0.026, 0.034),
        head=head,
        face=face,
        tail=tail_of,
        tuck=request.span(-0.04, 0.04),
        dip=0.0,
        wool=request.span(0.018, 0.030),
        size=1.05,
        leg_role="skin",
        texture="wool",
        texture_strength=0.20,
    )
    palette: dict[str, Color] = {
        "coat": fleece,
        "skin": skin,
        "ear": mix(skin, (120, 90, 84), 0.25),
        "eye": (196, 160, 70) if dark else (24, 18, 18),
        "nose": (22, 18, 18),
        "mouth": (24, 18, 18),
        "horn": (176, 152, 112),
        "hoof": (46, 40, 38),
    }
    pose = pick_pose(request, "standing", "grazing", "walking", "lying", "running")
    return assemble(frame, pose, pick_view(request, "side", "three_quarter", "front", "back"), palette, request)
