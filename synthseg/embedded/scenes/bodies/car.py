"""Cars: sedan, hatchback, van, off-roader, sports car and taxi."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, fillet, settle
from synthseg.embedded.scenes.bodies.wheels import closed_wheel
from synthseg.embedded.scenes.geometry import Outline, box, ellipse, limb, polygon, scale
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part


@dataclass(slots=True)
class _Shape:
    """Profile of a car in body units; x from the tail (-length / 2) to the nose."""

    kind: str
    length: float
    width: float
    radius: float
    floor: float
    belt: float
    hood: float
    tail: float
    roof: float
    cowl_x: float
    roof_front: float
    roof_rear: float
    rear_x: float

    @property
    def nose(self) -> float:
        return self.length / 2

    @property
    def lean(self) -> float:
        """How far the cabin's sides lean in for each unit above the belt."""
        return 0.28


def car(request: BodyRequest) -> Body:
    """A car from the side, at an angle, from ahead or from behind; about 1.3 long and 0.55 high."""
    kind = request.choose("sedan", "hatchback", "van", "offroad", "sports", "taxi")
    view = request.view or request.choose("side", "side", "three_quarter", "three_quarter", "front", "back")
    natural = (
        ("yellow",) if kind == "taxi" else ("red", "blue", "silver", "gray", "white", "black", "green", "navy", "maroon", "beige", "orange")
    )
    palette = vehicle_palette(request, natural)
    shape = _shape(request, kind)
    if view in ("front", "back"):
        return Body(settle(_face(request, shape, view == "front")), palette)
    if view == "three_quarter":
        return Body(settle(_angled(request, shape)), palette)
    return Body(settle(_side(request, shape)), palette)


def _shape(request: BodyRequest, kind: str) -> _Shape:
    span = request.span
    style = "sedan" if kind == "taxi" else kind
    length = span(
        *{"sedan": (1.25, 1.42), "hatchback": (1.02, 1.16), "van": (1.2, 1.36), "offroad": (1.15, 1.3), "sports": (1.22, 1.36)}[style]
    )
    roof = span(
        *{"sedan": (0.42, 0.48), "hatchback": (0.44, 0.51), "van": (0.57, 0.66), "offroad": (0.53, 0.6), "sports": (0.36, 0.41)}[style]
    )
    radius = span(
        *{"sedan": (0.105, 0.125), "hatchback": (0.1, 0.12), "van": (0.1, 0.12), "offroad": (0.13, 0.15), "sports": (0.092, 0.106)}[style]
    )
    belt = roof * span(0.60, 0.66)
    nose = length / 2
    cowl = nose - length * span(
        *{"sedan": (0.27, 0.32), "hatchback": (0.24, 0.29), "van": (0.12, 0.17), "offroad": (0.25, 0.3), "sports": (0.32, 0.38)}[style]
    )
    rake = span(
        *{"sedan": (0.14, 0.19), "hatchback": (0.13, 0.18), "van": (0.14, 0.2), "offroad": (0.08, 0.12), "sports": (0.18, 0.24)}[style]
    )
    rear_x = -nose + length * span(
        *{"sedan": (0.13, 0.19), "hatchback": (0.015, 0.04), "van": (0.01, 0.02), "offroad": (0.01, 0.02), "sports": (0.08, 0.14)}[style]
    )
    slope = span(
        *{"sedan": (0.12, 0.17), "hatchback": (0.1, 0.16), "van": (0.02, 0.05), "offroad": (0.03, 0.07), "sports": (0.26, 0.36)}[style]
    )
    return _Shape(
        kind,
        length,
        span(0.5, 0.58),
        radius,
        radius * span(0.6, 0.8),
        belt,
        belt * span(0.88, 0.96),
        belt * span(0.96, 1.02),
        roof,
        cowl,
        cowl - rake,
        rear_x + slope,
        rear_x,
    )


def _axles(shape: _Shape) -> tuple[float, float]:
    return -shape.nose + shape.radius + 0.12, shape.nose - shape.radius - 0.10


def _pane(shape: _Shape, left: float, right: float) -> Outline:
    """Side window between the shares `left` and `right` of the cabin's length at the belt."""
    low, high = shape.belt + 0.008, shape.roof - 0.035
    share = (high - shape.belt) / (shape.roof - shape.belt)
    bottom = shape.rear_x + 0.05, shape.cowl_x - 0.06
    top = shape.rear_x + (shape.roof_rear - shape.rear_x) * share + 0.045, shape.cowl_x + (shape.roof_front - shape.cowl_x) * share - 0.035

    def at(ends: tuple[float, float], x: float) -> float:
        return min(max(x, ends[0]), ends[1])

    xl, xr = bottom[0] + (bottom[1] - bottom[0]) * left, bottom[0] + (bottom[1] - bottom[0]) * right
    return fillet([(xl, low), (xr, low), (at(top, xr), high), (at(top, xl), high)], 0.02, 3)


def _side_parts(request: BodyRequest, shape: _Shape) -> tuple[list[Part], list[Part], list[Part]]:
    """Lower body, cabin and wheels of the near side, each back to front."""
    s, nose = shape, shape.nose
    lower = fillet(
        [
            (-nose + 0.03, s.floor),
            (-nose, s.floor + 0.06),
            (-nose + 0.015, s.tail),
            (s.rear_x, s.belt + 0.004),
            (s.cowl_x, s.belt + 0.004),
            (nose - 0.07, s.hood),
            (nose, s.hood - 0.06),
            (nose - 0.01, s.floor),
        ],
        0.05,
    )
    cabin = fillet([(s.rear_x, s.belt - 0.03), (s.roof_rear, s.roof), (s.roof_front, s.roof), (s.cowl_x, s.belt - 0.03)], 0.06)
    rear_axle, front_axle = _axles(s)
    low: list[Part] = [paint(lower), plain(box(-nose + 0.03, s.floor, nose - 0.02, s.floor + 0.03), "dark")]
    upper: list[Part] = [paint(cabin)]
    cuts = [0.0, 0.48, 1.0] if s.kind in ("hatchback", "sports") else [0.0, 0.18, 0.56, 1.0] if s.kind != "van" else [0.0, 0.34, 0.68, 1.0]
    blind = s.kind == "van" and request.chance(0.4)
    for i, (a, b) in enumerate(pairwise(cuts)):
        if not blind or i == len(cuts) - 2:
            upper.append(glass(_pane(s, a + (0.015 if i else 0.0), b - (0.015 if b < 1 else 0.0))))
    start = s.rear_x + 0.05
    span = s.cowl_x - 0.06 - start
    for share in [*cuts[1:-1], 1.0]:
        x = start + span * share
        if x > rear_axle + s.radius + 0.03 or share == 1.0:
            low.append(plain(limb([(x, s.belt), (x, s.floor + 0.06)], [0.004, 0.004], 1), "shadow"))
            low.append(metal(box(x - span * 0.20, s.belt - 0.055, x - span * 0.20 + 0.045, s.belt - 0.042), "shadow"))
    if s.kind == "taxi":
        low += [
            plain(box(x, s.belt - 0.09, x + 0.03, s.belt - 0.06), "dark" if i % 2 else "plate")
            for i, x in enumerate(np.arange(rear_axle + 0.1, front_axle - 0.16, 0.03))
        ]
        middle = (s.roof_front + s.roof_rear) / 2
        upper.insert(0, plain(box(middle - 0.07, s.roof - 0.01, middle + 0.07, s.roof + 0.05), "plate"))
    if s.kind == "offroad":
        upper.insert(0, metal(box(s.roof_rear + 0.03, s.roof, s.roof_front - 0.03, s.roof + 0.022), "steel"))
    if s.kind == "sports" and request.chance(0.6):
        low.append(paint(limb([(-nose - 0.01, s.tail + 0.06), (-nose + 0.12, s.tail + 0.05)], [0.012, 0.012]), shade=0.9))
        low.append(plain(limb([(-nose + 0.07, s.tail - 0.02), (-nose + 0.06, s.tail + 0.05)], [0.01, 0.01])))
    if request.chance(0.25) and s.kind != "taxi":
        low.append(paint(box(-nose + 0.02, s.floor + 0.08, nose - 0.03, s.floor + 0.11), "second"))
    low.append(plain(ellipse(nose - 0.045, s.hood - 0.055, 0.05, 0.03, -0.3, 14), "lamp"))
    low.append(
        plain(
            fillet(
                [
                    (-nose + 0.005, s.tail - 0.12),
                    (-nose + 0.05, s.tail - 0.11),
                    (-nose + 0.06, s.tail - 0.035),
                    (-nose + 0.01, s.tail - 0.03),
                ],
                0.015,
            ),
            "tail",
        )
    )
    low.append(plain(box(nose - 0.07, s.floor + 0.03, nose + 0.008, s.floor + 0.075, 0.02), "dark"))
    low.append(plain(box(-nose - 0.008, s.floor + 0.03, -nose + 0.07, s.floor + 0.075, 0.02), "dark"))
    upper.append(paint(ellipse(s.cowl_x - 0.075, s.belt + 0.03, 0.022, 0.02, samples=12), shade=0.75))
    gaps = int(request.rng.integers(4, 8))
    phase = float(request.rng.uniform(0, 1.5))
    wheels: list[Part] = []
    for x in (rear_axle, front_axle):
        arch = ellipse(x, s.radius, s.radius * 1.16, s.radius * 1.18)
        wheels.append(plain(polygon([(px, max(py, s.floor)) for px, py in arch]), "dark"))
        wheels += closed_wheel(x, s.radius, s.radius, request.span(0.55, 0.7), gaps, phase)
    return low, upper, wheels


def _side(request: BodyRequest, shape: _Shape) -> list[Part]:
    low, upper, wheels = _side_parts(request, shape)
    return upper + low + wheels


def _angled(request: BodyRequest, shape: _Shape) -> list[Part]:
    """Seen from ahead of one side: hood, windscreen, roof and face as panels across, the side on top of them."""
    s, nose, half = shape, shape.nose, shape.width / 2
    camera = Camera(request.span(0.45, 0.85), request.span(0.10, 0.22), 0.22)
    low, upper, wheels = _side_parts(request, s)
    top = half - s.lean * (s.roof - s.belt)
    far = [plain(ellipse(x, s.radius, s.radius, s.radius), "tyre", 0.8) for x in _axles(s)]
    parts = camera.side_parts(far, -half + 0.04)
    parts.append(plain(camera.strip((-nose + 0.05, s.floor), (nose - 0.05, s.floor), half, half), "dark"))
    face = [(nose - 0.01, s.floor), (nose, s.hood - 0.06), (nose - 0.07, s.hood)]
    parts.append(paint(camera.strip((s.rear_x, s.belt), (s.roof_rear, s.roof), half, top), shade=0.8))
    parts.append(paint(camera.strip((s.roof_rear, s.roof), (s.roof_front, s.roof), top, top), shade=1.08))
    parts.append(paint(camera.strip(face[2], (s.cowl_x, s.belt), half - 0.015, half), shade=1.06))
    parts.append(paint(camera.strip((s.cowl_x, s.belt), (s.roof_front, s.roof), half, top)))
    parts.append(glass(camera.strip((s.cowl_x - 0.012, s.belt + 0.012), (s.roof_front + 0.012, s.roof - 0.012), half * 0.92, top * 0.92)))
    parts.append(paint(camera.strip(face[0], face[1], half, half), shade=0.94))
    parts.append(paint(camera.strip(face[1], face[2], half, half - 0.015), shade=1.0))
    parts += camera.front_parts(_nose_parts(s, half), nose)
    parts += camera.side_parts(upper, half, s.lean, s.belt)
    parts += camera.side_parts(low, half)
    parts += camera.side_parts(wheels, half)
    return parts


def _nose_parts(shape: _Shape, half: float) -> list[Part]:
    """Lamps, grille, bumper and number plate in the front view."""
    s = shape
    high = s.hood - 0.06
    grille = box(-half * 0.55, high - 0.075, half * 0.55, high - 0.01, 0.015)
    parts = [plain(grille), metal(box(-half * 0.55, high - 0.048, half * 0.55, high - 0.038), "metal")]
    parts += [plain(ellipse(side * half * 0.78, high - 0.025, half * 0.19, 0.034, side * 0.15, 14), "lamp") for side in (-1, 1)]
    parts.append(plain(box(-half * 0.97, s.floor + 0.01, half * 0.97, s.floor + 0.06, 0.02), "dark"))
    parts.append(plain(box(-0.07, s.floor + 0.03, 0.07, s.floor + 0.065), "plate"))
    return parts


def _face(request: BodyRequest, shape: _Shape, ahead: bool) -> list[Part]:
    """Front or back view."""
    s, half = shape, shape.width / 2
    top = half - 1.25 * s.lean * (s.roof - s.belt)
    tread = request.span(0.09, 0.12)
    parts: list[Part] = [
        plain(box(side * (half - tread / 2) - tread / 2, 0.0, side * (half - tread / 2) + tread / 2, s.radius * 1.6, 0.03), "tyre")
        for side in (-1, 1)
    ]
    if s.kind == "taxi":
        parts.append(plain(box(-0.1, s.roof - 0.01, 0.1, s.roof + 0.05), "plate"))
    parts.append(paint(fillet([(-half * 0.97, s.belt - 0.03), (-top, s.roof), (top, s.roof), (half * 0.97, s.belt - 0.03)], 0.05)))
    parts.append(
        glass(
            fillet(
                [(-half * 0.86, s.belt + 0.008), (-top * 0.9, s.roof - 0.03), (top * 0.9, s.roof - 0.03), (half * 0.86, s.belt + 0.008)],
                0.03,
            )
        )
    )
    parts.append(
        glass(
            fillet(
                [(-half * 0.62, s.belt + 0.02), (-top * 0.6, s.roof - 0.04), (-top * 0.3, s.roof - 0.04), (-half * 0.45, s.belt + 0.02)],
                0.02,
            ),
            "sheen",
            0.7,
        )
    )
    for side in (-1, 1):
        parts.append(plain(limb([(side * half * 0.8, s.belt + 0.01), (side * (half + 0.03), s.belt + 0.02)], [0.012, 0.012], 1)))
        parts.append(paint(ellipse(side * (half + 0.035), s.belt + 0.02, 0.035, 0.025, samples=12), shade=0.8))
    parts.append(
        paint(
            fillet(
                [
                    (-half * 0.95, s.floor),
                    (-half, s.floor + 0.08),
                    (-half * 0.98, s.belt - 0.06),
                    (-half * 0.88, s.belt),
                    (half * 0.88, s.belt),
                    (half * 0.98, s.belt - 0.06),
                    (half, s.floor + 0.08),
                    (half * 0.95, s.floor),
                ],
                0.04,
            )
        )
    )
    if ahead:
        parts.append(plain(limb([(-half * 0.8, s.hood - 0.035), (half * 0.8, s.hood - 0.035)], [0.004, 0.004], 1), "shadow"))
        return parts + _nose_parts(s, half)
    for side in (-1, 1):
        lamp = box(side * half * 0.76 - half * 0.18, s.belt - 0.11, side * half * 0.76 + half * 0.18, s.belt - 0.035, 0.02)
        parts.append(plain(scale(lamp, 1.12, 1.25, (side * half * 0.76, s.belt - 0.0725)), "shadow"))
        parts.append(plain(lamp, "tail"))
        parts.append(plain(ellipse(side * half * 0.68, s.belt - 0.0725, 0.018, 0.018, samples=8), "lamp"))
    parts.append(
        plain(
            limb(
                [
                    (-half * 0.55, s.belt - 0.02),
                    (-half * 0.55, s.floor + 0.08),
                    (half * 0.55, s.floor + 0.08),
                    (half * 0.55, s.belt - 0.02),
                ],
                [0.004] * 4,
                1,
            ),
            "shadow",
        )
    )
    parts.append(plain(box(-0.08, s.belt - 0.12, 0.08, s.belt - 0.07), "plate"))
    parts.append(plain(box(-half * 0.97, s.floor, half * 0.97, s.floor + 0.05, 0.02), "dark"))
    return parts
