"""Cat: round short-muzzled head with pointed ears, supple low body, long thin tail, tabby stripes or plain coat."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.quadruped import Frame, assemble, blotch, inside_torso, pick_pose, pick_view
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import Outline, ellipse, limb, polygon, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part

_COATS: dict[str, tuple[Color, Color, Color]] = {
    "gray_tabby": ((138, 130, 118), (66, 60, 56), (196, 188, 176)),
    "brown_tabby": ((148, 116, 80), (70, 50, 36), (204, 182, 150)),
    "orange": ((214, 138, 62), (172, 92, 32), (238, 212, 174)),
    "black": ((40, 38, 42), (40, 38, 42), (54, 50, 54)),
    "white": ((236, 232, 226), (236, 232, 226), (240, 236, 232)),
    "siamese": ((222, 204, 176), (72, 54, 46), (84, 64, 54)),
    "calico": ((234, 230, 222), (198, 116, 52), (238, 234, 228)),
    "gray": ((112, 114, 122), (112, 114, 122), (128, 130, 138)),
}
"""Coat, markings, muzzle."""


def cat(request: BodyRequest) -> Body:
    """A cat about 0.9 units tall with its tail up; poses sitting, standing, walking, lying, running."""
    breed = request.choose(*_COATS)
    coat, mark, snout = _COATS[breed]
    if request.color:
        coat = tint(request.color, request.rng)
        mark, snout = mix(coat, (24, 20, 18), 0.45), mix(coat, (250, 246, 240), 0.45)
    pointed = breed == "siamese" and not request.color
    striped = "tabby" in breed or breed == "orange"
    skull = request.span(0.125, 0.150)
    ear = request.span(0.10, 0.13)
    tail = request.span(0.42, 0.56)
    iris: Color = (90, 140, 200) if pointed else ((206, 178, 60), (122, 166, 78), (214, 140, 52))[int(request.rng.integers(3))]
    head_role = "mark" if breed == "calico" and request.chance(0.5) else "coat"
    tip_role = "mark" if pointed else "coat"

    def marks(frame: Frame) -> list[Outline]:
        if breed == "calico":
            return [blotch(frame, x * frame.length, 0.2 * frame.depth, request.span(0.07, 0.12), request.rng) for x in (-0.32, 0.02)]
        if not striped:
            return []
        stripes = []
        for x in np.linspace(-0.40, 0.26, 7):
            lean = float(request.rng.uniform(-0.03, 0.03))
            path = [
                (x * frame.length, 0.55 * frame.depth),
                (x * frame.length - 0.02 + lean, 0.15 * frame.depth),
                (x * frame.length + lean, -0.22 * frame.depth),
            ]
            stripes.append(inside_torso(frame, limb(path, [0.016, 0.017, 0.005], 2)))
        return stripes

    def whiskers(x: float, y: float, sides: tuple[int, ...]) -> list[Part]:
        lines = [[(x + s * 0.02, y), (x + s * 0.13, y + dy)] for s in sides for dy in (0.02, -0.04)]
        return [Part(limb(line, [0.0035, 0.002], 1), "whisker", 0.0) for line in lines]

    def head() -> list[Part]:
        parts = [Part(polygon([(0.0, 0.7 * skull), (0.30 * skull, 0.75 * skull + ear), (0.65 * skull, 0.55 * skull)]), tip_role, 0.3, 0.75)]
        outline = [
            (-0.95 * skull, -0.1 * skull),
            (-0.75 * skull, 0.62 * skull),
            (-0.1 * skull, 0.92 * skull),
            (0.60 * skull, 0.66 * skull),
            (0.90 * skull, 0.16 * skull),
            (1.18 * skull, -0.05 * skull),
            (1.20 * skull, -0.32 * skull),
            (1.0 * skull, -0.62 * skull),
            (0.35 * skull, -0.85 * skull),
            (-0.55 * skull, -0.75 * skull),
        ]
        parts.append(Part(spline(outline, 4), head_role, 0.6, 1.0, "fur", 0.08))
        if striped:
            for k in range(3):
                parts.append(
                    Part(
                        limb([((0.05 + 0.2 * k) * skull, 0.80 * skull), ((-0.25 + 0.25 * k) * skull, 0.50 * skull)], [0.010, 0.006], 1),
                        "mark",
                        0.1,
                    )
                )
            parts.append(Part(limb([(0.15 * skull, 0.05 * skull), (-0.6 * skull, -0.12 * skull)], [0.010, 0.007], 1), "mark", 0.1))
        parts += [
            Part(ellipse(0.92 * skull, -0.28 * skull, 0.33 * skull, 0.30 * skull, -0.2, 14), "muzzle", 0.6),
            Part(polygon([(1.08 * skull, 0.02 * skull), (1.26 * skull, -0.03 * skull), (1.18 * skull, -0.16 * skull)]), "nose", 0.3),
            Part(
                limb(
                    [(1.18 * skull, -0.18 * skull), (1.08 * skull, -0.34 * skull), (0.85 * skull, -0.38 * skull)], [0.004, 0.005, 0.004], 1
                ),
                "mouth",
                0.1,
            ),
            Part(ellipse(0.52 * skull, 0.14 * skull, 0.036, 0.029, -0.2, 12), "iris", 0.4),
            Part(ellipse(0.57 * skull, 0.14 * skull, 0.013, 0.026, 0.0, 10), "eye", 0.4),
            Part(
                polygon([(-0.80 * skull, 0.45 * skull), (-0.58 * skull, 0.70 * skull + ear), (0.02 * skull, 0.85 * skull)]), tip_role, 0.4
            ),
            Part(
                polygon([(-0.60 * skull, 0.58 * skull), (-0.50 * skull, 0.66 * skull + 0.72 * ear), (-0.14 * skull, 0.80 * skull)]),
                "inner_ear",
                0.1,
            ),
        ]
        return parts + whiskers(0.95 * skull, -0.25 * skull, (1, -1))

    def face() -> list[Part]:
        parts = []
        for s in (-1, 1):
            parts.append(
                Part(
                    polygon([(s * 0.18 * skull, 0.80 * skull), (s * 0.80 * skull, 0.72 * skull + ear), (s * 1.00 * skull, 0.25 * skull)]),
                    tip_role,
                    0.4,
                )
            )
            parts.append(
                Part(
                    polygon(
                        [(s * 0.38 * skull, 0.76 * skull), (s * 0.76 * skull, 0.70 * skull + 0.72 * ear), (s * 0.88 * skull, 0.42 * skull)]
                    ),
                    "inner_ear",
                    0.1,
                )
            )
        half = [
            (0, 0.88 * skull),
            (0.70 * skull, 0.70 * skull),
            (1.08 * skull, 0.0),
            (0.90 * skull, -0.50 * skull),
            (0.40 * skull, -0.85 * skull),
            (0, -0.92 * skull),
        ]
        parts.append(Part(spline(half + [(-x, y) for x, y in half[-2:0:-1]], 4), head_role, 0.6, 1.0, "fur", 0.08))
        if striped:
            for x in (-0.3, 0.0, 0.3):
                parts.append(Part(limb([(x * skull, 0.76 * skull), (0.7 * x * skull, 0.42 * skull)], [0.010, 0.006], 1), "mark", 0.1))
            for s in (-1, 1):
                parts.append(Part(limb([(s * 0.68 * skull, 0.0), (s * 0.98 * skull, -0.08 * skull)], [0.007, 0.009], 1), "mark", 0.1))
        if pointed:
            parts.append(Part(ellipse(0, -0.15 * skull, 0.62 * skull, 0.62 * skull, 0.0, 18), "mask", 0.3))
        parts += [Part(ellipse(s * 0.20 * skull, -0.42 * skull, 0.27 * skull, 0.24 * skull, 0.0, 14), "muzzle", 0.6) for s in (-1, 1)]
        parts.append(Part(polygon([(-0.13 * skull, -0.16 * skull), (0.13 * skull, -0.16 * skull), (0, -0.33 * skull)]), "nose", 0.3))
        parts.append(
            Part(
                limb([(-0.22 * skull, -0.52 * skull), (0, -0.42 * skull), (0.22 * skull, -0.52 * skull)], [0.004, 0.006, 0.004], 1),
                "mouth",
                0.1,
            )
        )
        for s in (-1, 1):
            parts.append(Part(ellipse(s * 0.44 * skull, 0.12 * skull, 0.036, 0.031, 0.25 * s, 12), "iris", 0.4))
            parts.append(Part(ellipse(s * 0.44 * skull, 0.12 * skull, 0.013, 0.029, 0.0, 10), "eye", 0.4))
        return parts + whiskers(0.2 * skull, -0.38 * skull, (1,)) + whiskers(-0.2 * skull, -0.38 * skull, (-1,))

    def tail_of(pose: str) -> list[Part]:
        if pose == "back":
            path = [(0.0, -0.05), (0.08, -0.18), (0.22, -0.24), (0.34, -0.20)]
        elif pose == "sitting":
            path = [(0.0, -0.04), (-0.10, -0.12), (-0.24, -0.13), (-0.36, -0.07), (-0.42, 0.02)]
        elif pose == "lying":
            path = [(0.03, -0.04), (-0.08, -0.14), (-0.24, -0.17), (-0.38, -0.13)]
        elif pose == "running":
            path = [(0.03, 0.0), (-0.12, 0.05), (-0.6 * tail, 0.02), (-tail, 0.10)]
        else:
            path = [(0.03, -0.01), (-0.08, 0.04), (-0.15, 0.45 * tail), (-0.17, 0.8 * tail), (-0.08, tail)]
        curve = spline([*path, *path[-2:0:-1]], 4)[: 4 * (len(path) - 1) + 1]
        parts = [Part(limb(curve, list(np.linspace(0.034, 0.024, len(curve)))), tip_role, 0.6, 0.95, "fur", 0.1)]
        if striped:
            for k in range(3, len(curve) - 1, 3):
                parts.append(Part(limb(curve[k : k + 2], [0.028, 0.028], 1), "mark", 0.3))
        return parts

    frame = Frame(
        leg=request.span(0.24, 0.31),
        depth=request.span(0.23, 0.29),
        length=request.span(0.64, 0.78),
        width=request.span(0.26, 0.34),
        neck_length=request.span(0.13, 0.18),
        neck_angle=request.span(36, 56),
        neck_base=request.span(0.09, 0.11),
        neck_tip=0.66 * skull,
        head_angle=request.span(-12, 6),
        thigh=request.span(0.075, 0.095),
        shank=request.span(0.028, 0.035),
        head=head,
        face=face,
        tail=tail_of,
        tuck=request.span(0.0, 0.12),
        dip=request.span(0.0, 0.08),
        paws=True,
        sock=request.span(0.5, 1.0) if pointed else 0.0,
        size=1.1,
        texture_strength=0.10,
        marks=marks,
    )
    palette: dict[str, Color] = {
        "coat": coat,
        "mark": mark,
        "muzzle": snout,
        "iris": iris,
        "eye": (14, 12, 14),
        "nose": (206, 128, 124),
        "mouth": (70, 44, 44),
        "inner_ear": mix(coat, (220, 160, 150), 0.6),
        "whisker": (244, 242, 240) if sum(coat) < 480 else (120, 112, 108),
        "paw": mark if pointed else mix(coat, (246, 242, 236), 0.3),
        "sock": mark,
        "mask": mark,
    }
    pose = pick_pose(request, "sitting", "standing", "walking", "lying", "running")
    return assemble(frame, pose, pick_view(request, "side", "front", "three_quarter", "back"), palette, request)
