"""Trains: steam locomotive, high-speed, commuter and freight, with their carriages; no rails in the body."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, fillet, settle
from synthseg.embedded.scenes.bodies.steam import steam_face, steam_side
from synthseg.embedded.scenes.bodies.wheels import BOGIE_TOP, bogie
from synthseg.embedded.scenes.geometry import box, ellipse, limb, polygon
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part


def train(request: BodyRequest) -> Body:
    """A train from the side, at an angle or from ahead; about 2.2 long and 0.65 high from the side, 0.95 from ahead."""
    kind = request.choose("steam", "fast", "commuter", "freight")
    view = request.view or request.choose("side", "side", "three_quarter", "three_quarter", "front")
    paints = (
        ("black", "green", "red", "maroon", "navy")
        if kind == "steam"
        else ("white", "red", "blue", "silver", "green", "orange", "yellow", "navy", "teal")
    )
    palette = vehicle_palette(request, paints, ("red", "yellow", "blue", "cream", "white"))
    height = request.span(0.6, 0.7)
    if view in ("front", "back"):
        parts = steam_face(request) if kind == "steam" else _face(kind, request.span(0.62, 0.72), request.span(0.82, 0.92))
        return Body(settle(parts), palette)
    angled = view == "three_quarter"
    camera = Camera(request.span(0.7, 1.1), request.span(0.03, 0.10), 0.30) if angled else Camera()
    if kind == "steam":
        camera = Camera(request.span(0.5, 0.85), 0.08, 0.22) if angled else camera
        return Body(settle(steam_side(request, camera, height)), palette)
    if not angled:
        return Body(settle(_side(request, kind, height)), palette)
    return Body(settle(_angled(request, kind, camera, height)), palette)


def _carriage(x0: float, x1: float, height: float, stripe: bool, kind: str) -> list[Part]:
    """One coach between x0 and x1: body, window row, doors, bogies."""
    parts = bogie(x0 + 0.2) + bogie(x1 - 0.2)
    parts.append(plain(box(x0 + 0.36, BOGIE_TOP - 0.07, x1 - 0.36, BOGIE_TOP + 0.01), "dark"))
    parts.append(paint(box(x0 + 0.022, BOGIE_TOP, x1 - 0.022, height, 0.05 if kind != "fast" else 0.03), bulge=0.4))
    parts.append(metal(box(x0 + 0.03, height - 0.035, x1 - 0.03, height - 0.002, 0.02), "steel"))
    low, high = BOGIE_TOP + (height - BOGIE_TOP) * 0.45, height - 0.10
    if stripe:
        parts.append(paint(box(x0 + 0.024, low - 0.1, x1 - 0.024, low - 0.035), "second", bulge=0.2))
    doors = (x0 + 0.09, x1 - 0.09) if kind == "fast" else (x0 + (x1 - x0) * 0.27, x1 - (x1 - x0) * 0.27)
    if kind == "fast":
        parts.append(plain(box(x0 + 0.16, low, x1 - 0.16, high, 0.02), "dark"))
    pitch = 0.095 if kind == "fast" else 0.13
    for x in np.arange(x0 + 0.1, x1 - 0.06, pitch):
        if all(abs(x - door) > pitch * 0.5 + 0.045 for door in doors):
            parts.append(glass(box(x - pitch * 0.38, low + 0.01, x + pitch * 0.38, high - 0.01), shade=1.15))
    for door in doors:
        parts.append(
            paint(box(door - 0.05, BOGIE_TOP + 0.02, door + 0.05, high + 0.02), "second" if kind == "commuter" else "paint", 0.86, 0.2)
        )
        parts.append(glass(box(door - 0.03, low, door + 0.03, high)))
        parts.append(plain(limb([(door, BOGIE_TOP + 0.02), (door, high)], [0.004, 0.004], 1)))
    return parts


def _pantograph(x: float, height: float) -> list[Part]:
    arms = [
        [(x - 0.06, height), (x + 0.04, height + 0.05), (x - 0.04, height + 0.11)],
        [(x - 0.09, height + 0.11), (x + 0.02, height + 0.11)],
    ]
    return [plain(limb(arm, [0.010] * len(arm), 1), "steel") for arm in arms]


def _nose_profile(kind: str, length: float, x: float, height: float) -> list[tuple[float, float]]:
    """Front end of the leading car, from the roof at `x` down to the coupling at `x + length`."""
    if kind == "fast":
        return [
            (x, height),
            (x + length * 0.35, height - 0.05),
            (x + length * 0.75, height - 0.22),
            (x + length * 0.97, BOGIE_TOP + 0.14),
            (x + length, BOGIE_TOP + 0.06),
            (x + length * 0.9, BOGIE_TOP - 0.05),
        ]
    return [(x + length * 0.5, height), (x + length * 0.8, height - 0.12), (x + length, height * 0.5), (x + length, BOGIE_TOP - 0.04)]


def _side(request: BodyRequest, kind: str, height: float) -> list[Part]:
    if kind == "freight":
        return _freight(request, height)
    stripe = request.chance(0.75)
    front = 1.12
    nose = request.span(0.42, 0.6) if kind == "fast" else request.span(0.08, 0.13)
    joint = front - nose - request.span(0.62, 0.95)
    parts: list[Part] = [plain(box(joint - 0.03, BOGIE_TOP + 0.03, joint + 0.03, height - 0.05))]
    parts += _carriage(max(joint - request.span(0.95, 1.25), -1.4), joint, height, stripe, kind)
    start = front - nose
    parts += bogie(front - nose * (0.55 if kind == "fast" else 1.5))
    parts.append(
        paint(fillet([(start - 0.08, BOGIE_TOP), (start - 0.08, height), *_nose_profile(kind, nose, start, height)], 0.05), bulge=0.5)
    )
    if stripe:
        low = BOGIE_TOP + (height - BOGIE_TOP) * 0.45
        parts.append(
            paint(
                polygon(
                    [
                        (start - 0.06, low - 0.1),
                        (start - 0.06, low - 0.035),
                        (front - nose * 0.12, low - 0.06 if kind == "fast" else low - 0.035),
                        (front - nose * 0.06, low - 0.1),
                    ]
                ),
                "second",
                bulge=0.2,
            )
        )
    parts += _carriage(joint, start, height, stripe, kind)
    if kind == "fast":
        parts.append(
            glass(
                fillet(
                    [
                        (start + nose * 0.20, height - 0.10),
                        (start + nose * 0.33, height - 0.055),
                        (start + nose * 0.62, height - 0.17),
                        (start + nose * 0.5, height - 0.21),
                    ],
                    0.02,
                )
            )
        )
    else:
        parts.append(
            glass(
                fillet(
                    [
                        (start - 0.03, height - 0.09),
                        (start + nose * 0.72, height - 0.11),
                        (start + nose * 0.97, height * 0.55),
                        (start - 0.03, height * 0.55),
                    ],
                    0.02,
                )
            )
        )
    parts.append(plain(ellipse(front - nose * (0.14 if kind == "fast" else 0.15), BOGIE_TOP + 0.115, 0.03, 0.02, samples=10), "lamp"))
    if request.chance(0.7):
        parts = _pantograph(joint + 0.3, height) + parts
    return parts


def _freight(request: BodyRequest, height: float) -> list[Part]:
    """Diesel hood unit ahead, one or two wagons behind."""
    front, joint = 1.1, request.span(-0.22, 0.0)
    cab = joint + request.span(0.55, 0.7)
    hood = height - request.span(0.05, 0.1)
    parts: list[Part] = [
        *bogie(joint + 0.22, 3),
        *bogie(front - 0.22, 3),
        plain(box(joint + 0.03, BOGIE_TOP - 0.02, front, BOGIE_TOP + 0.05), "dark"),
    ]
    parts.append(paint(box(joint + 0.06, BOGIE_TOP + 0.05, cab + 0.02, hood, 0.02), bulge=0.4))
    parts.append(paint(box(joint + 0.06, BOGIE_TOP + 0.14, front - 0.04, BOGIE_TOP + 0.2), "second", bulge=0.2))
    for x in np.linspace(joint + 0.14, cab - 0.1, 5):
        parts.append(plain(box(x - 0.03, BOGIE_TOP + 0.24, x + 0.03, hood - 0.05), "shadow"))
    parts.append(metal(ellipse(joint + 0.3, hood + 0.005, 0.06, 0.025), "dark"))
    parts.append(paint(box(cab, BOGIE_TOP + 0.05, cab + 0.26, height + 0.02, 0.03), bulge=0.4))
    parts.append(glass(box(cab + 0.03, height - 0.17, cab + 0.115, height - 0.05)))
    parts.append(glass(box(cab + 0.145, height - 0.17, cab + 0.23, height - 0.05)))
    parts.append(
        paint(
            fillet(
                [
                    (cab + 0.26, BOGIE_TOP + 0.05),
                    (cab + 0.26, height - 0.16),
                    (front - 0.09, height - 0.19),
                    (front - 0.05, BOGIE_TOP + 0.05),
                ],
                0.03,
            ),
            bulge=0.5,
        )
    )
    parts.append(paint(box(cab + 0.0, BOGIE_TOP + 0.14, front - 0.06, BOGIE_TOP + 0.2), "second", bulge=0.2))
    parts.append(plain(ellipse(front - 0.07, height - 0.24, 0.025, 0.03, samples=10), "lamp"))
    parts.append(plain(polygon([(front - 0.06, BOGIE_TOP), (front + 0.03, BOGIE_TOP), (front + 0.06, 0.03), (front - 0.06, 0.03)]), "dark"))
    parts.append(metal(limb([(joint + 0.05, BOGIE_TOP + 0.12), (joint + 0.05, BOGIE_TOP + 0.05)], [0.008, 0.008], 1), "plate"))
    parts.append(plain(box(joint - 0.06, BOGIE_TOP - 0.01, joint + 0.05, BOGIE_TOP + 0.03)))
    end = joint - 0.04
    for _ in range(2):
        start = end - request.span(0.5, 0.62)
        parts += [*bogie(start + 0.13), *bogie(end - 0.13), plain(box(start, BOGIE_TOP - 0.02, end, BOGIE_TOP + 0.03))]
        parts += _wagon(request, start + 0.02, end - 0.02, height)
        end = start - 0.03
    return parts


def _wagon(request: BodyRequest, x0: float, x1: float, height: float) -> list[Part]:
    kind = request.choose("tank", "box", "open")
    if kind == "tank":
        top = height - 0.06
        return [
            metal(box(x0, BOGIE_TOP + 0.02, x1, top, 0.14), "steel", bulge=1.0),
            metal(box((x0 + x1) / 2 - 0.05, top - 0.01, (x0 + x1) / 2 + 0.05, top + 0.04), "steel"),
            *[plain(limb([(x, BOGIE_TOP + 0.03), (x, top - 0.01)], [0.008, 0.008], 1), "dark") for x in (x0 + 0.15, x1 - 0.15)],
        ]
    top = height - (0.02 if kind == "box" else 0.14)
    parts = [plain(box(x0, BOGIE_TOP + 0.02, x1, top), "wood", 1.1)]
    if kind == "open":
        parts.insert(
            0, plain(limb([(x0 + 0.06, top), ((x0 + x1) / 2, top + 0.06), (x1 - 0.06, top)], [0.02, 0.04, 0.02]), "dark", bulge=0.9)
        )
    parts += [
        plain(limb([(x, BOGIE_TOP + 0.03), (x, top - 0.01)], [0.006, 0.006], 1), "dark") for x in np.linspace(x0 + 0.06, x1 - 0.06, 6)
    ]
    return parts


def _face(kind: str, width: float, height: float) -> list[Part]:
    """Front view of a box-like or streamlined leading car."""
    half, floor = width / 2, BOGIE_TOP
    parts: list[Part] = [plain(box(-half * 0.85, 0.0, half * 0.85, floor + 0.05, 0.02), "dark")]
    parts += [metal(box(side * half * 0.62 - 0.025, 0.0, side * half * 0.62 + 0.025, 0.12), "steel", 0.8) for side in (-1, 1)]
    if kind == "fast":
        outline = fillet(
            [
                (-half * 0.9, floor - 0.06),
                (-half, floor + 0.2),
                (-half * 0.82, height * 0.75),
                (-half * 0.42, height),
                (half * 0.42, height),
                (half * 0.82, height * 0.75),
                (half, floor + 0.2),
                (half * 0.9, floor - 0.06),
            ],
            0.16,
        )
        parts.append(paint(outline, bulge=1.0))
        parts.append(
            paint(
                fillet(
                    [
                        (-half * 0.97, floor + 0.1),
                        (-half * 0.4, floor + 0.2),
                        (half * 0.4, floor + 0.2),
                        (half * 0.97, floor + 0.1),
                        (half * 0.9, floor + 0.02),
                        (-half * 0.9, floor + 0.02),
                    ],
                    0.05,
                ),
                "second",
            )
        )
        parts.append(
            glass(
                fillet(
                    [(-half * 0.62, height * 0.6), (-half * 0.4, height * 0.86), (half * 0.4, height * 0.86), (half * 0.62, height * 0.6)],
                    0.05,
                )
            )
        )
        lamp_y = floor + 0.24
    else:
        parts.append(
            paint(
                fillet(
                    [
                        (-half, floor),
                        (-half, height * 0.82),
                        (-half * 0.7, height),
                        (half * 0.7, height),
                        (half, height * 0.82),
                        (half, floor),
                    ],
                    0.1,
                ),
                bulge=0.6,
            )
        )
        parts.append(paint(box(-half + 0.005, floor + 0.02, half - 0.005, floor + 0.24), "second", bulge=0.3))
        low, high = height * 0.56, height * 0.82
        for a, b in ((-0.86, -0.32), (-0.26, 0.26), (0.32, 0.86)):
            parts.append(glass(box(half * a, low, half * b, high, 0.02)))
            parts.append(
                glass(
                    polygon(
                        [
                            (half * (a + 0.1), low + 0.03),
                            (half * (a + 0.28), high - 0.03),
                            (half * (a + 0.4), high - 0.03),
                            (half * (a + 0.22), low + 0.03),
                        ]
                    ),
                    "sheen",
                    0.75,
                )
            )
        parts.append(plain(limb([(-half * 0.29, floor + 0.03), (-half * 0.29, high)], [0.004, 0.004], 1), "shadow"))
        parts.append(plain(limb([(half * 0.29, floor + 0.03), (half * 0.29, high)], [0.004, 0.004], 1), "shadow"))
        parts += [plain(ellipse(side * half * 0.14, high + 0.05, 0.03, 0.03, samples=12), "lamp") for side in (-1, 1)]
        lamp_y = floor + 0.14
    for side in (-1, 1):
        parts.append(plain(ellipse(side * half * 0.68, lamp_y, 0.05, 0.035, samples=14), "lamp"))
        parts.append(plain(ellipse(side * half * 0.45, lamp_y, 0.022, 0.022, samples=10), "tail"))
        if kind != "fast":
            parts.append(metal(ellipse(side * half * 0.6, floor + 0.01, 0.055, 0.055, samples=14), "steel"))
    parts.append(metal(box(-0.05, floor - 0.07, 0.05, floor + 0.04, 0.02), "dark"))
    return parts


def _angled(request: BodyRequest, kind: str, camera: Camera, height: float) -> list[Part]:
    """Leading car large and near, the rest of the train drawing away behind it."""
    half = request.span(0.24, 0.29)
    front, stripe = 1.0, request.chance(0.75)
    car = request.span(1.0, 1.3)
    style = "commuter" if kind == "freight" else kind
    parts: list[Part] = []
    for back in (front - 2 * car, front - car):
        end = back + car
        parts.append(plain(camera.strip((back, height - 0.005), (end - 0.03, height - 0.005), half * 0.8, half * 0.8), "steel", 1.05))
        side = _carriage(back, end, height, stripe, style)
        parts.append(plain(camera.on_side(box(end - 0.06, BOGIE_TOP + 0.03, end + 0.06, height - 0.05), half * 0.85)))
        parts += camera.side_parts(side, half)
    if kind != "fast":
        return parts + camera.front_parts(_face(style, half * 2, height), front)
    reach = request.span(0.34, 0.46)
    for share in np.linspace(0.0, 1.0, 10):
        narrow, top = half * (1 - 0.42 * share**2), BOGIE_TOP + (height - BOGIE_TOP) * (1 - 0.62 * share**1.4)
        section = fillet(
            [
                (-narrow, BOGIE_TOP - 0.04),
                (-narrow * 0.92, top - 0.1),
                (-narrow * 0.55, top),
                (narrow * 0.55, top),
                (narrow * 0.92, top - 0.1),
                (narrow, BOGIE_TOP - 0.04),
            ],
            0.12,
        )
        parts.append(plain(camera.on_front(section, front + reach * share), "paint", 0.94 + 0.1 * share, bulge=0.1))
        if stripe:
            band = polygon(
                [(-narrow, BOGIE_TOP - 0.02), (-narrow, BOGIE_TOP + 0.09), (narrow, BOGIE_TOP + 0.09), (narrow, BOGIE_TOP - 0.02)]
            )
            parts.append(plain(camera.on_front(band, front + reach * share), "second", bulge=0.1))
    levels = [(share, BOGIE_TOP + (height - BOGIE_TOP) * (1 - 0.62 * share**1.4) + 0.004) for share in (0.18, 0.55)]
    (a, ya), (b, yb) = levels
    parts.append(glass(camera.strip((front + reach * b, yb), (front + reach * a, ya), half * 0.5, half * 0.56)))
    for edge in (-1, 1):
        parts.append(plain(camera.on_front(ellipse(edge * half * 0.4, BOGIE_TOP + 0.14, 0.045, 0.025, samples=12), front + reach), "lamp"))
    return parts
