"""Dog: several breeds that differ in ears, muzzle, legs, tail and coat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthseg.embedded.scenes.bodies.quadruped import Frame, assemble, blotch, inside_torso, pick_pose, pick_view
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import Outline, ellipse, limb, polygon, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part


@dataclass(frozen=True, slots=True)
class _Breed:
    coat: Color
    mark: Color
    muzzle_color: Color
    ears: str
    tail: str
    marking: str
    leg: float
    muzzle: float
    bulk: float


_BREEDS = (
    _Breed((206, 158, 88), (226, 188, 126), (214, 172, 108), "drop", "plume", "plain", 0.34, 0.17, 1.05),
    _Breed((176, 126, 72), (38, 34, 34), (52, 44, 42), "prick", "brush", "saddle", 0.36, 0.19, 1.0),
    _Breed((44, 40, 42), (44, 40, 42), (52, 48, 50), "drop", "whip", "plain", 0.35, 0.17, 1.05),
    _Breed((226, 222, 214), (42, 38, 40), (226, 222, 214), "drop", "whip", "spots", 0.38, 0.17, 0.92),
    _Breed((186, 116, 62), (40, 34, 34), (232, 226, 216), "drop", "whip", "saddle", 0.27, 0.15, 0.95),
    _Breed((224, 220, 212), (104, 106, 112), (234, 232, 228), "prick", "curl", "saddle", 0.35, 0.15, 1.05),
    _Breed((112, 70, 42), (112, 70, 42), (96, 58, 38), "drop", "whip", "plain", 0.18, 0.18, 0.85),
    _Breed((40, 38, 40), (232, 228, 222), (232, 228, 222), "semi", "plume", "collar", 0.34, 0.17, 1.0),
)


def dog(request: BodyRequest) -> Body:
    """A dog about 0.95 units tall; poses standing, sitting, walking, running, lying."""
    breed = _BREEDS[int(request.rng.integers(len(_BREEDS)))]
    coat, mark, snout = breed.coat, breed.mark, breed.muzzle_color
    if request.color:
        coat = tint(request.color, request.rng)
        mark = mix(coat, (30, 26, 26), 0.5) if breed.marking != "plain" else coat
        snout = mix(coat, (250, 246, 240), 0.3)
    skull = request.span(0.100, 0.125)
    muzzle = breed.muzzle * request.span(0.85, 1.15)
    thick = request.span(0.048, 0.062)
    ear = request.span(0.11, 0.16)
    tail = request.span(0.28, 0.40)
    tongue = request.chance(0.4)
    ear_role = "mark" if breed.marking != "plain" and breed.ears == "drop" else "ear"
    front = 0.75 * skull + muzzle
    drop = -0.28 * skull

    def marks(frame: Frame) -> list[Outline]:
        if breed.marking == "saddle":
            half, deep = 0.5 * frame.length, frame.depth
            ring = [
                (-0.85 * half, 0.6 * deep),
                (0.45 * half, 0.7 * deep),
                (0.50 * half, 0.15 * deep),
                (0.0, -0.08 * deep),
                (-0.6 * half, 0.05 * deep),
            ]
            return [inside_torso(frame, spline(ring, 6))]
        if breed.marking == "spots":
            xs, ys = request.rng.uniform(-0.44, 0.28, 13), request.rng.uniform(-0.40, 0.42, 13)
            return [
                blotch(frame, x * frame.length, y * frame.depth, float(request.rng.uniform(0.013, 0.026)), request.rng)
                for x, y in zip(xs, ys, strict=True)
            ]
        return []

    def head() -> list[Part]:
        parts = []
        if breed.ears != "drop":
            parts.append(
                Part(polygon([(0.0, 0.7 * skull), (0.02, 0.8 * skull + 0.8 * ear), (0.55 * skull, 0.6 * skull)]), "ear", 0.3, 0.75)
            )
        outline = [
            (-0.95 * skull, 0.0),
            (-0.7 * skull, 0.75 * skull),
            (0.0, skull),
            (0.55 * skull, 0.78 * skull),
            (0.85 * skull, 0.25 * skull),
            (front, drop + 0.75 * thick),
            (front + 0.02, drop),
            (front - 0.01, drop - 0.85 * thick),
            (0.8 * skull, drop - 1.15 * thick),
            (0.1 * skull, -0.98 * skull),
            (-0.7 * skull, -0.75 * skull),
        ]
        parts.append(Part(spline(outline, 4), "coat", 0.6, 1.0, "fur", 0.08))
        if tongue:
            parts.append(
                Part(limb([(front - 0.055, drop - 0.4 * thick), (front - 0.045, drop - 1.6 * thick)], [0.014, 0.016], 2), "tongue", 0.5)
            )
        parts += [
            Part(
                spline(
                    [
                        (0.75 * skull, drop + 0.55 * thick),
                        (front, drop + 0.70 * thick),
                        (front + 0.015, drop),
                        (front - 0.02, drop - 0.75 * thick),
                        (0.75 * skull, drop - thick),
                    ],
                    4,
                ),
                "muzzle",
                0.6,
            ),
            Part(ellipse(front + 0.004, drop + 0.55 * thick, 0.026, 0.020, -0.3, 12), "nose", 0.7, 1.0, "smooth", 0.0, 0.3),
            Part(limb([(front - 0.005, drop - 0.38 * thick), (0.95 * skull, drop - 0.55 * thick)], [0.003, 0.004], 1), "mouth", 0.1),
            Part(ellipse(0.50 * skull, 0.30 * skull, 0.021, 0.019, 0.0, 10), "eye", 0.6),
            Part(ellipse(0.53 * skull, 0.36 * skull, 0.006, 0.006, 0.0, 6), "glint", 0.1),
        ]
        if breed.ears == "drop":
            flap = [
                (-0.45 * skull, 0.72 * skull),
                (-0.05 * skull, 0.62 * skull),
                (0.05 * skull, 0.7 * skull - 0.8 * ear),
                (-0.25 * skull, 0.6 * skull - 1.15 * ear),
                (-0.65 * skull, 0.6 * skull - 0.8 * ear),
            ]
            parts.append(Part(spline(flap, 4), ear_role, 0.6, 0.85, "fur", 0.1))
        else:
            parts.append(
                Part(
                    polygon([(-0.65 * skull, 0.62 * skull), (-0.45 * skull, 0.8 * skull + ear), (0.15 * skull, 0.80 * skull)]),
                    ear_role,
                    0.4,
                )
            )
            if breed.ears == "semi":
                parts.append(
                    Part(
                        spline(
                            [
                                (-0.60 * skull, 0.8 * skull + 0.75 * ear),
                                (-0.1 * skull, 0.85 * skull + 0.8 * ear),
                                (0.2 * skull, 0.7 * skull + 0.35 * ear),
                            ],
                            3,
                        ),
                        ear_role,
                        0.4,
                        0.8,
                    )
                )
            else:
                parts.append(
                    Part(
                        polygon([(-0.48 * skull, 0.72 * skull), (-0.38 * skull, 0.8 * skull + 0.75 * ear), (0.0, 0.82 * skull)]),
                        "inner_ear",
                        0.1,
                    )
                )
        return parts

    def face() -> list[Part]:
        parts = []
        for s in (-1, 1):
            if breed.ears != "drop":
                parts.append(
                    Part(
                        polygon([(s * 0.15 * skull, 0.8 * skull), (s * 0.75 * skull, 0.8 * skull + ear), (s * 0.98 * skull, 0.25 * skull)]),
                        ear_role,
                        0.4,
                    )
                )
                parts.append(
                    Part(
                        polygon(
                            [(s * 0.35 * skull, 0.75 * skull), (s * 0.71 * skull, 0.8 * skull + 0.7 * ear), (s * 0.85 * skull, 0.4 * skull)]
                        ),
                        "inner_ear",
                        0.1,
                    )
                )
        wide = [
            (0, skull),
            (0.75 * skull, 0.75 * skull),
            (1.02 * skull, 0.0),
            (0.8 * skull, -0.7 * skull),
            (0.55 * skull, -1.15 * skull),
            (0, -1.4 * skull),
        ]
        ring = wide + [(-x, y) for x, y in wide[:0:-1] if x > 0]
        parts.append(Part(spline(ring, 4), "coat", 0.6, 1.0, "fur", 0.08))
        if tongue:
            parts.append(Part(limb([(0, -1.15 * skull), (0, -1.65 * skull)], [0.022, 0.020], 3), "tongue", 0.5))
        parts += [
            Part(ellipse(0, -0.72 * skull, 1.1 * thick, 0.55 * skull, 0.0, 16), "muzzle", 0.7),
            Part(ellipse(0, -0.50 * skull, 0.034, 0.025, 0.0, 12), "nose", 0.7, 1.0, "smooth", 0.0, 0.3),
            Part(limb([(0, -0.6 * skull), (0, -0.95 * skull)], [0.004, 0.004], 1), "mouth", 0.1),
            Part(
                limb([(-0.6 * thick, -1.02 * skull), (0, -0.93 * skull), (0.6 * thick, -1.02 * skull)], [0.005, 0.005, 0.005], 1),
                "mouth",
                0.1,
            ),
        ]
        for s in (-1, 1):
            parts.append(Part(ellipse(s * 0.45 * skull, 0.08 * skull, 0.022, 0.022, 0.0, 10), "eye", 0.6))
            parts.append(Part(ellipse(s * 0.45 * skull + 0.006, 0.14 * skull, 0.006, 0.006, 0.0, 6), "glint", 0.1))
            if breed.ears == "drop":
                flap = [
                    (s * 0.5 * skull, 0.9 * skull),
                    (s * 1.0 * skull, 0.6 * skull),
                    (s * 1.35 * skull, 0.3 * skull - 0.6 * ear),
                    (s * 1.15 * skull, 0.3 * skull - 1.1 * ear),
                    (s * 0.9 * skull, 0.2 * skull - 0.5 * ear),
                ]
                parts.append(Part(spline(flap, 4), ear_role, 0.6, 0.85, "fur", 0.1))
        return parts

    def tail_of(pose: str) -> list[Part]:
        fat = {"whip": 0.020, "plume": 0.045, "brush": 0.042, "curl": 0.045}[breed.tail]
        if pose == "back":
            path = [(0.0, 0.0), (0.02, 0.5 * tail), (0.06, 0.85 * tail)]
        elif pose in ("sitting", "lying"):
            path = (
                [(0.03, -0.02), (-0.06, -0.12), (-0.5 * tail, -0.20), (-0.9 * tail, -0.19)]
                if pose == "lying"
                else [(0.0, -0.02), (-0.08, -0.09), (-0.6 * tail, -0.10), (-0.9 * tail, -0.06)]
            )
        elif breed.tail == "curl":
            t = np.linspace(0.0, 4.6, 7)
            path = [(float(-0.02 + 0.09 * (np.cos(t_ + 3.1) + 1) - 0.03), float(0.10 * np.sin(t_) + 0.03 * t_)) for t_ in t]
        elif breed.tail == "brush":
            path = [(0.03, 0.0), (-0.07, -0.06), (-0.14, -0.6 * tail), (-0.18, -0.85 * tail)]
        else:
            path = [(0.03, 0.0), (-0.10, 0.05), (-0.55 * tail, 0.4 * tail), (-0.62 * tail, 0.8 * tail)]
        radii = np.interp(np.linspace(0, 1, len(path)), [0, 0.55, 1], [0.024, fat, 0.35 * fat])
        return [Part(limb(path, list(radii)), "mark" if breed.marking == "saddle" else "coat", 0.5, 0.95, "fur", 0.15)]

    short = breed.leg < 0.25
    frame = Frame(
        leg=breed.leg * request.span(0.88, 1.12),
        depth=request.span(0.24, 0.30) * breed.bulk,
        length=request.span(0.62, 0.76) * (1.15 if short else 1.0),
        width=request.span(0.24, 0.31) * breed.bulk,
        neck_length=request.span(0.18, 0.25),
        neck_angle=request.span(42, 62),
        neck_base=request.span(0.09, 0.115),
        neck_tip=0.72 * skull,
        head_angle=request.span(-14, 8),
        thigh=request.span(0.070, 0.09),
        shank=request.span(0.026, 0.034),
        head=head,
        face=face,
        tail=tail_of,
        tuck=request.span(0.10, 0.32),
        dip=request.span(0.0, 0.06),
        paws=True,
        sock=request.span(0.3, 0.9) if breed.marking == "collar" else 0.0,
        size=1.2,
        texture_strength=0.12,
        marks=marks,
    )
    palette: dict[str, Color] = {
        "coat": coat,
        "mark": mark,
        "muzzle": snout,
        "ear": mix(coat, (30, 24, 22), 0.25),
        "inner_ear": mix(coat, (190, 140, 130), 0.5),
        "paw": mix(coat, (250, 246, 240), 0.15),
        "nose": (24, 20, 22),
        "mouth": (40, 28, 28),
        "eye": (26, 18, 14),
        "glint": (240, 240, 240),
        "tongue": (220, 104, 112),
        "sock": (236, 232, 226),
    }
    pose = pick_pose(request, "standing", "sitting", "walking", "running", "lying")
    return assemble(frame, pose, pick_view(request, "side", "three_quarter", "front", "back"), palette, request)
