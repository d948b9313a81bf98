"""Bicycles: road, city with basket, child's; frame and spokes are thin limbs."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, settle
from synthseg.embedded.scenes.bodies.wheels import ring, spoked_wheel
from synthseg.embedded.scenes.geometry import ellipse
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part

Point = tuple[float, float, float]


def bicycle(request: BodyRequest) -> Body:
    """A bicycle seen from the side, at an angle or from ahead; about 1 unit high."""
    kind = request.choose("road", "city", "child")
    view = request.view or request.choose("side", "side", "side", "three_quarter", "front")
    steep = {"front": (1.25, 1.45), "back": (1.25, 1.45), "three_quarter": (0.45, 0.9)}.get(view, (0.0, 0.15))
    camera = Camera(request.span(*steep), 0.06 if view == "three_quarter" else 0.0, 0.08)
    palette = vehicle_palette(request, ("red", "blue", "green", "black", "orange", "teal", "white", "yellow", "pink", "maroon"))

    radius = request.span(0.30, 0.36) if kind != "child" else request.span(0.23, 0.28)
    tyre = request.span(0.032, 0.045) if kind == "road" else request.span(0.045, 0.065)
    reach = request.span(0.46, 0.54) if kind != "child" else request.span(0.36, 0.42)
    tube = request.span(0.018, 0.025)
    saddle_y = request.span(0.84, 0.94) if kind != "child" else request.span(0.66, 0.76)
    bar_y = saddle_y + (request.span(-0.03, 0.04) if kind == "road" else request.span(0.08, 0.18))
    rear: Point = (-reach, radius, 0.0)
    front: Point = (reach, radius, 0.0)
    crank: Point = (-0.06, radius * 0.88, 0.0)
    seat: Point = (crank[0] - 0.14, saddle_y - 0.14, 0.0)
    head: Point = (reach - 0.20, bar_y - 0.08, 0.0)
    crown: Point = (reach - 0.15, radius * 2 + 0.05, 0.0)
    middle = head if kind == "road" else (crown[0], crown[1] - 0.02, 0.0)

    squash = float(abs(np.cos(camera.yaw)))
    num_spokes = int(request.rng.integers(8, 13))
    parts: list[Part] = []
    for hub in (rear, front):
        ((cx, cy),) = camera.project([hub])
        parts += spoked_wheel(cx, cy, radius, tyre, num_spokes, request.rng.uniform(0, 1), squash)

    def pipe(points: list[Point], width: float, role: str = "paint", shade: float = 1.0) -> Part:
        return paint(camera.tube(points, width), role, shade, bulge=0.8)

    parts.append(pipe([rear, crank], tube * 0.8, shade=0.85))
    parts.append(pipe([rear, seat], tube * 0.8, shade=0.85))
    if kind != "road":
        for hub, start, end in ((rear, 0.5, 3.0), (front, 0.3, 2.4)):
            arc = np.linspace(start, end, 9)
            guard = [(hub[0] + (radius + 0.03) * np.cos(a), hub[1] + (radius + 0.03) * np.sin(a), 0.0) for a in arc]
            parts.append(metal(camera.tube(guard, 0.016), "second" if kind == "child" else "metal"))
    parts.append(metal(camera.tube([(rear[0], rear[1] + 0.04, 0.03), (crank[0], crank[1] + 0.08, 0.03)], 0.008), "dark"))
    parts.append(metal(camera.tube([(rear[0], rear[1] - 0.04, 0.03), (crank[0], crank[1] - 0.08, 0.03)], 0.008), "dark"))
    parts.append(pipe([crank, seat], tube))
    if kind == "road":
        parts.append(pipe([seat, head], tube))
        parts.append(pipe([crank, crown], tube * 1.15))
    else:
        low = ((crank[0] + middle[0]) / 2, (crank[1] + middle[1]) / 2 - 0.07, 0.0)
        parts.append(pipe([crank, low, middle, head], tube * 1.1))
        if request.chance(0.6):
            share = request.span(0.35, 0.7)
            on_seat = (crank[0] + (seat[0] - crank[0]) * share, crank[1] + (seat[1] - crank[1]) * share, 0.0)
            parts.append(pipe([on_seat, (middle[0] - 0.01, middle[1] + 0.05, 0.0)], tube))
    parts.append(pipe([head, crown], tube * 1.2))
    parts.append(
        pipe([(crown[0], crown[1], 0.0), (front[0] - 0.03, front[1] + 0.12, 0.02), (front[0], front[1], 0.02)], tube * 0.9, "paint", 0.92)
    )

    ((gx, gy),) = camera.project([crank])
    parts.append(metal(ring(gx, gy, 0.085 * max(squash, 0.2), 0.085, 0.028), "steel"))
    turn = request.rng.uniform(0, np.pi)
    for sign, z in ((1, -0.08), (-1, 0.08)):
        pedal = (crank[0] + sign * 0.15 * np.cos(turn), crank[1] + sign * 0.15 * np.sin(turn))
        parts.append(metal(camera.tube([(crank[0], crank[1], z), (*pedal, z)], 0.014), "steel"))
        parts.append(plain(camera.tube([(pedal[0] - 0.05, pedal[1], z * 1.4), (pedal[0] + 0.05, pedal[1], z * 1.4)], 0.02)))

    top = (seat[0] - 0.035, saddle_y - 0.02, 0.0)
    parts.append(metal(camera.tube([seat, top], 0.015)))
    parts.append(
        plain(
            camera.tube(
                [(top[0] - 0.10, saddle_y, 0.0), (top[0] - 0.02, saddle_y - 0.005, 0.0), (top[0] + 0.14, saddle_y - 0.01, 0.0)],
                [0.045, 0.035, 0.016],
                cap=4,
            ),
            "seat",
            bulge=0.8,
        )
    )
    parts += _handlebar(request, camera, kind, head, bar_y)
    if kind == "city":
        parts += _carrier(request, camera, rear, radius, seat)
        parts += _basket(request, camera, head, crown)
    if kind == "child" and request.chance(0.6):
        small = radius * 0.38
        ((cx, cy),) = camera.project([(rear[0] + 0.03, small, 0.12)])
        parts.append(metal(camera.tube([rear, (rear[0] + 0.03, small, 0.12)], 0.014)))
        parts += spoked_wheel(cx, cy, small, 0.045, 0, 0.0, max(squash, 0.3))
    return Body(settle(parts), palette)


def _handlebar(request: BodyRequest, camera: Camera, kind: str, head: Point, bar_y: float) -> list[Part]:
    stem = (head[0] + 0.0, bar_y - 0.02, 0.0)
    parts = [metal(camera.tube([head, stem], 0.017))]
    width = request.span(0.2, 0.28)
    for z in (-width, width):
        if kind == "road":
            curve = [
                (stem[0] + 0.02, bar_y, 0.0),
                (stem[0] + 0.05, bar_y, z),
                (stem[0] + 0.15, bar_y, z),
                (stem[0] + 0.19, bar_y - 0.07, z),
                (stem[0] + 0.14, bar_y - 0.14, z),
                (stem[0] + 0.05, bar_y - 0.15, z),
            ]
            parts.append(plain(camera.tube(curve, 0.017), "dark"))
        else:
            curve = [
                (stem[0], bar_y, 0.0),
                (stem[0] + 0.04, bar_y + 0.03, z * 0.6),
                (stem[0] - 0.06, bar_y + 0.05, z),
                (stem[0] - 0.15, bar_y + 0.03, z),
            ]
            parts.append(metal(camera.tube(curve, 0.016)))
            parts.append(plain(camera.tube([(stem[0] - 0.05, bar_y + 0.05, z), (stem[0] - 0.17, bar_y + 0.03, z)], 0.024), "seat"))
    return parts


def _carrier(request: BodyRequest, camera: Camera, rear: Point, radius: float, seat: Point) -> list[Part]:
    y = radius * 2 + request.span(0.05, 0.09)
    back = rear[0] - request.span(0.1, 0.22)
    return [
        metal(camera.tube([(seat[0] + 0.02, y, 0.0), (back, y, 0.0)], 0.014), "steel"),
        metal(camera.tube([(rear[0], rear[1], 0.03), (rear[0] - 0.1, y, 0.03)], 0.010), "steel"),
        plain(camera.on_side(ellipse(back, y - 0.03, 0.022, 0.022, samples=10), 0.0), "tail"),
    ]


def _basket(request: BodyRequest, camera: Camera, head: Point, crown: Point) -> list[Part]:
    x0, y0 = head[0] + 0.09, crown[1] + 0.06
    x1, y1 = x0 + request.span(0.2, 0.28), y0 + request.span(0.16, 0.24)
    half = request.span(0.11, 0.16)
    parts = [plain(camera.tube([(x, y0, -half), (x + (0.02 if x > x0 else -0.02), y1, -half)], 0.011), "wood", 0.7) for x in (x0, x1)]
    across = np.linspace(x0, x1, 5)
    parts += [plain(camera.tube([(x, y0, half), (x + (i - 2) * 0.012, y1, half)], 0.010), "wood") for i, x in enumerate(across)]
    parts += [plain(camera.tube([(x0 - 0.01, y, half), (x1 + 0.01, y, half)], 0.012), "wood") for y in np.linspace(y0, y1, 4)]
    parts += [plain(camera.tube([(x1 + 0.02, y, half), (x1 + 0.02, y, -half)], 0.012), "wood", 0.85) for y in np.linspace(y0, y1, 3)]
    parts.append(plain(camera.on_side(ellipse(x1 + 0.03, y0 - 0.06, 0.035, 0.045, samples=12), 0.0), "lamp"))
    return parts
