"""Buses: single-decker, double-decker and coach."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, fillet, settle
from synthseg.embedded.scenes.bodies.wheels import closed_wheel
from synthseg.embedded.scenes.geometry import box, ellipse, limb
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part


class _Bus:
    """Proportions and livery of one bus."""

    def __init__(self, request: BodyRequest) -> None:
        self.request = request
        self.kind = request.choose("city", "coach", "double")
        double = self.kind == "double"
        self.height = request.span(0.98, 1.12) if double else request.span(0.68, 0.8)
        self.length = request.span(1.5, 1.75) if double else request.span(1.75, 2.05)
        self.width = request.span(0.52, 0.6)
        self.radius = request.span(0.1, 0.125)
        self.floor = self.radius * request.span(0.6, 0.8)
        coach = self.kind == "coach"
        lower_top = self.height * 0.5 if double else self.height - request.span(0.10, 0.14)
        sill = self.floor + (request.span(0.30, 0.34) if coach else request.span(0.2, 0.26))
        self.bands = [(sill, max(lower_top, sill + 0.16))]
        if double:
            base = self.bands[0][1] + request.span(0.1, 0.15)
            self.bands.append((base, min(base + request.span(0.2, 0.26), self.height - 0.07)))
        self.num_windows = int(request.rng.integers(5, 9))
        self.striped = request.chance(0.7)

    def side(self) -> list[Part]:
        """Near side, back to front, in side-view units."""
        nose, low = self.length / 2, self.floor
        parts = [
            paint(
                fillet([(-nose, low), (-nose, self.height), (nose - 0.03, self.height), (nose, self.height * 0.6), (nose, low)], 0.06),
                bulge=0.35,
            )
        ]
        if self.striped:
            parts.append(paint(box(-nose + 0.01, low + 0.04, nose - 0.01, low + 0.13), "second", bulge=0.2))
        parts.append(plain(box(-nose + 0.02, low, nose - 0.02, low + 0.03), "dark"))
        rear, front = -nose + self.length * 0.22, nose - self.length * 0.2
        for level, (y0, y1) in enumerate(self.bands):
            last = nose - (0.22 if level == 0 else 0.05)
            edges = np.linspace(-nose + 0.06, last, self.num_windows + 1)
            if self.kind == "coach":
                parts.append(plain(box(edges[0] - 0.01, y0 - 0.01, last + 0.01, y1 + 0.01, 0.02), "dark"))
            for a, b in pairwise(edges):
                parts.append(glass(box(a + 0.012, y0, b - 0.012, y1)))
                parts.append(
                    glass(
                        fillet([(a + 0.03, y0 + 0.02), (a + 0.07, y1 - 0.02), (a + 0.11, y1 - 0.02), (a + 0.07, y0 + 0.02)], 0.01, 2),
                        "sheen",
                        0.75,
                    )
                )
        y1 = self.bands[0][1]
        for x in (nose - 0.185, nose - 0.115):
            parts.append(glass(box(x, low + 0.05, x + 0.06, y1), shade=1.15))
        parts.append(plain(limb([(nose - 0.12, low + 0.03), (nose - 0.12, y1)], [0.005, 0.005], 1), "shadow"))
        if self.kind == "city":
            parts.append(plain(box(nose - 0.62, y1 + 0.02, nose - 0.3, min(y1 + 0.07, self.height - 0.02)), "dark"))
        parts.append(plain(box(nose - 0.045, low + 0.06, nose, low + 0.12), "lamp"))
        parts.append(plain(box(-nose, low + 0.08, -nose + 0.025, low + 0.2), "tail"))
        for x in (rear, front - 0.06):
            parts.append(plain(ellipse(x, self.radius, self.radius * 1.2, self.radius * 1.2), "dark"))
            parts += closed_wheel(x, self.radius, self.radius, 0.58, 6)
        if self.kind == "coach":
            for x in np.linspace(rear + 0.2, front - 0.3, 3):
                parts.append(plain(limb([(x, low + 0.05), (x, self.bands[0][0] - 0.06)], [0.004, 0.004], 1), "shadow"))
        return parts

    def face(self, ahead: bool) -> list[Part]:
        """Front (or back) without its wheels, in front-view units."""
        half, low, top = self.width / 2, self.floor, self.height
        parts = [paint(box(-half, low, half, top, 0.06), bulge=0.4, shade=0.97)]
        if self.striped:
            parts.append(paint(box(-half + 0.005, low + 0.04, half - 0.005, low + 0.13), "second", bulge=0.2))
        for level, (y0, y1) in enumerate(self.bands):
            if ahead or level or self.kind != "double":
                drop = 0.07 if ahead and level == 0 else 0.0
                parts.append(glass(box(-half + 0.03, y0 - drop, half - 0.03, y1, 0.04)))
                parts.append(
                    glass(
                        fillet([(-half * 0.8, y0), (-half * 0.45, y1 - 0.02), (-half * 0.1, y1 - 0.02), (-half * 0.45, y0)], 0.02, 2),
                        "sheen",
                        0.75,
                    )
                )
                parts.append(plain(limb([(0.0, y0 - drop), (0.0, y1)], [0.005, 0.005], 1), "dark"))
        y1 = self.bands[0][1]
        if ahead:
            sign = min(y1 + 0.075, top - 0.015)
            parts.append(plain(box(-half * 0.75, y1 + 0.012, half * 0.75, sign), "dark"))
            parts.append(plain(box(-half * 0.55, y1 + 0.027, half * 0.45, sign - 0.015), "signal"))
        lamp = "lamp" if ahead else "tail"
        for side in (-1, 1):
            parts.append(plain(ellipse(side * half * 0.74, low + 0.1, 0.045, 0.032, samples=14), lamp))
            parts.append(plain(ellipse(side * half * 0.9, low + 0.15, 0.018, 0.018, samples=8), "signal"))
        parts.append(plain(box(-half + 0.01, low, half - 0.01, low + 0.045), "dark"))
        parts.append(plain(box(-0.075, low + 0.015, 0.075, low + 0.055), "plate"))
        return parts


def bus(request: BodyRequest) -> Body:
    """A bus from the side, at an angle, from ahead or behind; a single-decker is about 1.9 long and 0.75 high."""
    view = request.view or request.choose("side", "side", "three_quarter", "three_quarter", "front", "back")
    palette = vehicle_palette(
        request,
        ("red", "red", "blue", "green", "yellow", "white", "orange", "teal", "silver", "purple"),
        ("white", "yellow", "blue", "cream"),
    )
    shape = _Bus(request)
    half, nose = shape.width / 2, shape.length / 2
    if view in ("front", "back"):
        tyres: list[Part] = [
            plain(box(s * (half - 0.08) - 0.06, 0.0, s * (half - 0.08) + 0.06, shape.radius * 1.5, 0.02), "tyre") for s in (-1, 1)
        ]
        mirrors: list[Part] = []
        if view == "front":
            y = shape.bands[0][1]
            for s in (-1, 1):
                mirrors.append(plain(limb([(s * half * 0.95, y), (s * (half + 0.05), y - 0.02)], [0.01, 0.01], 1)))
                mirrors.append(plain(box(s * (half + 0.05) - 0.025, y - 0.13, s * (half + 0.05) + 0.025, y - 0.01)))
        return Body(settle(tyres + mirrors + shape.face(view == "front")), palette)
    if view == "three_quarter":
        camera = Camera(request.span(0.5, 0.95), request.span(0.05, 0.14), 0.24)
        parts = [paint(camera.strip((-nose, shape.height), (nose - 0.03, shape.height), half, half), shade=1.06)]
        parts += camera.side_parts([plain(ellipse(nose * 0.55, shape.radius, shape.radius, shape.radius), "tyre", 0.8)], -half)
        parts += camera.front_parts(shape.face(True), nose)
        parts += camera.side_parts(shape.side(), half)
        parts.append(plain(camera.tube([(nose, shape.bands[0][1], half), (nose + 0.07, shape.bands[0][1] - 0.02, half)], 0.012)))
        parts.append(
            plain(camera.tube([(nose + 0.07, shape.bands[0][1] - 0.03, half), (nose + 0.07, shape.bands[0][1] - 0.11, half)], 0.022))
        )
        return Body(settle(parts), palette)
    parts = [metal(box(-nose * 0.4, shape.height - 0.01, nose * 0.1, shape.height + 0.03), "steel")] if shape.kind == "city" else []
    y = shape.bands[-1][1] if shape.kind == "double" else shape.bands[0][1]
    parts += shape.side()
    parts.append(glass(fillet([(nose - 0.045, y - 0.26), (nose - 0.045, y), (nose - 0.015, y), (nose - 0.001, y - 0.26)], 0.01, 2)))
    return Body(settle(parts), palette)
