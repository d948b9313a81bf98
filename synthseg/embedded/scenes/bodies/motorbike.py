"""Motorcycles: cruiser, sport bike and scooter."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, fillet, settle
from synthseg.embedded.scenes.bodies.wheels import ring, spoked_wheel
from synthseg.embedded.scenes.geometry import box, ellipse, limb, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part

Point = tuple[float, float, float]


def motorbike(request: BodyRequest) -> Body:
    """A motorcycle from the side, at an angle or from ahead; about 0.9 high and 1.5 long."""
    kind = request.choose("cruiser", "sport", "scooter")
    view = request.view or request.choose("side", "side", "three_quarter", "front")
    palette = vehicle_palette(request, ("red", "black", "blue", "silver", "orange", "green", "yellow", "maroon", "white", "teal"))
    if view in ("front", "back"):
        return Body(settle(_face(request, kind, view == "front")), palette)
    angled = view == "three_quarter"
    camera = Camera(request.span(0.35, 0.75) if angled else 0.0, request.span(0.04, 0.12) if angled else 0.0, 0.12)
    build = {"cruiser": _cruiser, "sport": _sport, "scooter": _scooter}[kind]
    return Body(settle(build(request, camera)), palette)


def _wheel(camera: Camera, hub: Point, radius: float, tyre: float, num_spokes: int, spoke: float) -> list[Part]:
    squash = float(abs(np.cos(camera.yaw)))
    ((cx, cy),) = camera.project([hub])
    parts = spoked_wheel(cx, cy, radius, tyre, num_spokes, 0.4, squash, spoke, "steel")
    parts.append(metal(ring(cx, cy, radius * 0.48 * squash, radius * 0.48, radius * 0.14), "metal"))
    return parts


def _bars(camera: Camera, head: Point, rise: float, back: float, half: float) -> list[Part]:
    parts = []
    for z in (-half, half):
        grip = (head[0] - back, head[1] + rise, z)
        parts.append(metal(camera.tube([head, (head[0], head[1] + rise, z * 0.5), grip], 0.018)))
        parts.append(plain(camera.tube([grip, (grip[0] - 0.09, grip[1] - 0.02, z)], 0.026)))
        parts.append(metal(camera.tube([(grip[0] + 0.03, grip[1], z), (grip[0] + 0.05, grip[1] + 0.12, z)], 0.009)))
        ((mx, my),) = camera.project([(grip[0] + 0.05, grip[1] + 0.14, z)])
        parts.append(metal(ellipse(mx, my, 0.045, 0.032, 0.3, 12), "steel"))
    return parts


def _cruiser(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    radius, tyre = span(0.25, 0.29), span(0.085, 0.11)
    reach = span(0.5, 0.58)
    rear, front = (-reach, radius, 0.0), (reach + 0.06, radius, 0.0)
    seat_y, head = span(0.52, 0.58), (reach - span(0.24, 0.3), span(0.72, 0.8), 0.0)
    flat = []
    parts = _wheel(camera, rear, radius, tyre, 10, 0.010) + _wheel(camera, front, radius * 1.04, tyre * 0.85, 10, 0.010)
    arc = np.linspace(0.7, 2.8, 9)
    guard = [(rear[0] + (radius + 0.035) * np.cos(a), rear[1] + (radius + 0.035) * np.sin(a), 0.0) for a in arc]
    parts.append(paint(camera.tube(guard, 0.035)))
    arc = np.linspace(0.4, 2.2, 7)
    guard = [(front[0] + (radius + 0.04) * np.cos(a), front[1] + (radius + 0.04) * np.sin(a), 0.0) for a in arc]
    parts.append(paint(camera.tube(guard, 0.028)))
    engine_x = span(-0.02, 0.04)
    flat.append(
        plain(
            fillet([(rear[0] + 0.1, 0.3), (-0.2, seat_y - 0.05), (0.2, seat_y), (0.28, 0.3), (0.18, 0.16), (-0.2, 0.16)], 0.06),
            "dark",
            bulge=0.6,
        )
    )
    for lean in (-0.35, 0.35):
        cylinder = box(engine_x - 0.075, 0.3, engine_x + 0.075, 0.52, 0.02)
        turned = (cylinder - (engine_x, 0.28)) @ np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]]) + (engine_x, 0.28)
        flat.append(metal(turned, "metal"))
        for y in (0.37, 0.42, 0.47):
            fin = np.array([(-0.075, y - 0.28), (0.075, y - 0.28)]) @ np.array(
                [[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]]
            ) + (engine_x, 0.28)
            flat.append(plain(limb(fin, [0.007, 0.007], 1)))
    flat.append(metal(ellipse(engine_x, 0.25, 0.16, 0.10), "steel"))
    flat.append(metal(ellipse(engine_x + 0.03, 0.25, 0.07, 0.065), "metal"))
    flat.append(
        metal(
            limb(
                [(engine_x + 0.16, 0.40), (engine_x + 0.2, 0.22), (engine_x + 0.05, 0.13), (rear[0] + 0.1, 0.15), (rear[0] - 0.2, 0.19)],
                [0.026, 0.028, 0.03, 0.045, 0.045],
            )
        )
    )
    parts += camera.side_parts(flat, 0.06)
    tank = spline(
        [
            (-0.12, seat_y),
            (-0.05, seat_y + 0.1),
            (0.1, seat_y + 0.15),
            (head[0] - 0.02, seat_y + 0.13),
            (head[0] + 0.01, seat_y + 0.06),
            (0.05, seat_y - 0.01),
        ]
    )
    seat = spline(
        [
            (-0.42, seat_y + 0.05),
            (-0.32, seat_y + 0.07),
            (-0.2, seat_y + 0.0),
            (-0.08, seat_y + 0.04),
            (-0.1, seat_y - 0.05),
            (-0.3, seat_y - 0.06),
        ]
    )
    parts += camera.side_parts([paint(tank, bulge=0.9), plain(seat, "seat", bulge=0.7)], 0.05)
    ((tx, ty),) = camera.project([(rear[0] - 0.22, rear[1] + radius * 0.75, 0.0)])
    parts.append(plain(ellipse(tx, ty, 0.03, 0.03, samples=10), "tail"))
    for z in (-0.07, 0.07):
        parts.append(metal(camera.tube([(front[0], front[1], z), (head[0], head[1], z)], 0.024)))
    parts += _bars(camera, (head[0], head[1], 0.0), span(0.05, 0.14), span(0.05, 0.14), span(0.28, 0.36))
    ((hx, hy),) = camera.project([(head[0] + 0.12, head[1] - 0.03, 0.0)])
    parts.append(metal(ellipse(hx - 0.02, hy, 0.07, 0.075), "metal"))
    parts.append(plain(ellipse(hx + 0.025, hy, 0.035, 0.062), "lamp"))
    return parts


def _sport(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    radius, tyre = span(0.25, 0.28), span(0.07, 0.09)
    reach = span(0.46, 0.52)
    rear, front = (-reach, radius, 0.0), (reach, radius, 0.0)
    seat_y, tail_y = span(0.58, 0.63), span(0.72, 0.8)
    nose = (reach - 0.06, span(0.7, 0.76))
    parts = _wheel(camera, rear, radius, tyre * 1.15, 5, 0.018) + _wheel(camera, front, radius, tyre, 5, 0.018)
    parts.append(metal(camera.tube([rear, (-0.1, 0.36, 0.05)], 0.04), "steel"))
    arc = np.linspace(0.5, 2.3, 7)
    parts.append(
        paint(camera.tube([(front[0] + (radius + 0.03) * np.cos(a), front[1] + (radius + 0.03) * np.sin(a), 0.0) for a in arc], 0.026))
    )
    parts.append(metal(camera.tube([front, (reach - 0.2, 0.7, 0.03)], 0.028), "metal"))
    flat = [plain(fillet([(-0.2, 0.2), (-0.24, seat_y), (0.2, seat_y + 0.05), (0.28, 0.4), (0.16, 0.16)], 0.05), "dark")]
    flat.append(metal(limb([(0.1, 0.2), (-0.1, 0.16), (-0.25, 0.2)], [0.03, 0.035, 0.04]), "steel"))
    flat.append(metal(limb([(-0.22, 0.24), (-0.44, 0.48), (-0.62, 0.56)], [0.03, 0.05, 0.055])))
    flat.append(glass(spline([(reach - 0.26, nose[1] + 0.06), (reach - 0.2, nose[1] + 0.2), (reach - 0.08, nose[1] + 0.06)]), "sheen"))
    fairing = spline(
        [
            (-0.08, 0.19),
            (0.16, 0.14),
            (0.27, 0.34),
            (0.3, 0.5),
            (nose[0] + 0.02, nose[1] - 0.12),
            (nose[0] + 0.06, nose[1] - 0.03),
            (reach - 0.18, nose[1] + 0.1),
            (reach - 0.28, nose[1] + 0.04),
            (0.06, seat_y - 0.02),
            (-0.02, 0.42),
        ]
    )
    tank = spline([(-0.16, seat_y), (-0.08, seat_y + 0.12), (0.06, seat_y + 0.17), (reach - 0.26, seat_y + 0.12), (0.08, seat_y - 0.02)])
    tail = fillet(
        [
            (-0.2, seat_y - 0.06),
            (-0.34, seat_y + 0.0),
            (-0.66, tail_y + 0.02),
            (-0.64, tail_y + 0.06),
            (-0.36, seat_y + 0.11),
            (-0.14, seat_y + 0.02),
        ],
        0.04,
    )
    seat = spline([(-0.42, seat_y + 0.12), (-0.3, seat_y + 0.11), (-0.14, seat_y + 0.04), (-0.2, seat_y), (-0.36, seat_y + 0.05)])
    flat += [paint(tail), plain(seat, "seat", bulge=0.7), paint(tank, bulge=0.9), paint(fairing, bulge=0.7)]
    flat.append(paint(fillet([(0.02, 0.28), (0.2, 0.24), (0.24, 0.34), (0.08, 0.42)], 0.03), "second"))
    flat.append(paint(limb([(-0.05, 0.38), (0.2, 0.5), (nose[0] - 0.02, nose[1] - 0.06)], [0.012, 0.026, 0.012]), "second"))
    flat.append(plain(ellipse(nose[0] + 0.015, nose[1] - 0.05, 0.045, 0.03, -0.6, 12), "lamp"))
    flat.append(plain(ellipse(-0.64, tail_y + 0.03, 0.025, 0.02, samples=8), "tail"))
    parts += camera.side_parts(flat, 0.08)
    for z in (-0.24, 0.24):
        parts.append(plain(camera.tube([(reach - 0.26, nose[1] + 0.03, z * 0.6), (reach - 0.36, nose[1] + 0.02, z)], 0.024)))
        ((mx, my),) = camera.project([(reach - 0.16, nose[1] + 0.16, z)])
        parts.append(plain(ellipse(mx, my, 0.045, 0.024, 0.3, 10)))
    return parts


def _scooter(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    radius, tyre = span(0.16, 0.19), span(0.06, 0.075)
    reach = span(0.44, 0.5)
    rear, front = (-reach, radius, 0.0), (reach + 0.03, radius, 0.0)
    seat_y, bar_y = span(0.56, 0.62), span(0.86, 0.94)
    head_x = reach - span(0.14, 0.18)
    parts = _wheel(camera, rear, radius, tyre, 6, 0.016) + _wheel(camera, front, radius, tyre, 6, 0.016)
    flat = [plain(limb([(-0.3, 0.14), (-0.55, 0.16), (-0.68, 0.2)], [0.03, 0.045, 0.045]), "steel", bulge=0.8)]
    flat.append(metal(limb([(front[0], radius), (head_x + 0.05, 0.46)], [0.026, 0.03]), "steel"))
    flat.append(
        paint(
            spline(
                [
                    (front[0] - 0.2, radius + 0.08),
                    (front[0] - 0.08, radius + 0.25),
                    (front[0] + 0.16, radius + 0.15),
                    (front[0] + 0.1, radius + 0.08),
                ]
            )
        )
    )
    flat.append(plain(box(-0.3, 0.15, head_x + 0.02, 0.23, 0.03), "dark"))
    body = spline(
        [
            (-0.66, 0.46),
            (-0.58, seat_y - 0.02),
            (-0.3, seat_y),
            (-0.1, seat_y - 0.06),
            (-0.08, 0.28),
            (-0.2, 0.18),
            (-0.36, 0.2),
            (-0.46, 0.34),
            (-0.58, 0.36),
        ]
    )
    shield = fillet(
        [
            (head_x - 0.15, 0.2),
            (head_x - 0.03, 0.2),
            (head_x + 0.09, 0.4),
            (head_x + 0.03, bar_y - 0.14),
            (head_x - 0.04, bar_y - 0.12),
            (head_x - 0.03, 0.42),
        ],
        0.05,
    )
    flat += [paint(body, bulge=0.8), paint(shield, bulge=0.7)]
    flat.append(paint(limb([(-0.6, 0.44), (-0.34, 0.4), (-0.12, 0.42)], [0.012, 0.016, 0.012]), "second"))
    seat = spline(
        [
            (-0.6, seat_y + 0.05),
            (-0.5, seat_y + 0.1),
            (-0.3, seat_y + 0.05),
            (-0.12, seat_y + 0.06),
            (-0.09, seat_y - 0.03),
            (-0.4, seat_y - 0.02),
        ]
    )
    flat.append(plain(seat, "seat", bulge=0.8))
    flat.append(plain(ellipse(-0.65, 0.45, 0.03, 0.035, samples=10), "tail"))
    parts += camera.side_parts(flat, 0.07)
    ((hx, hy),) = camera.project([(head_x, bar_y - 0.07, 0.0)])
    parts += _bars(camera, (head_x - 0.03, bar_y - 0.08, 0.0), span(0.04, 0.08), 0.06, span(0.2, 0.26))
    parts.append(paint(ellipse(hx, hy, 0.085, 0.075, -0.3)))
    parts.append(plain(ellipse(hx + 0.06, hy + 0.005, 0.035, 0.05), "lamp"))
    return parts


def _face(request: BodyRequest, kind: str, ahead: bool) -> list[Part]:
    """Seen from ahead or behind: one tall narrow tyre, fork, lamp and a wide handlebar."""
    span = request.span
    radius = span(0.16, 0.19) if kind == "scooter" else span(0.26, 0.3)
    width, bar_y, half = span(0.055, 0.08), span(0.84, 0.92), span(0.3, 0.4)
    parts: list[Part] = [plain(box(-width, 0.0, width, radius * 2, width), "tyre", bulge=0.9)]
    if kind == "cruiser":
        parts += [metal(ellipse(side * 0.15, 0.34, 0.09, 0.08), "steel") for side in (-1, 1)]
    for side in (-1, 1):
        parts.append(metal(limb([(side * (width + 0.035), radius), (side * (width + 0.03), bar_y - 0.05)], [0.024, 0.024])))
    body = {
        "cruiser": [(-0.12, 0.56), (-0.15, 0.66), (-0.09, 0.76), (0.09, 0.76), (0.15, 0.66), (0.12, 0.56)],
        "sport": [(-0.1, 0.34), (-0.19, 0.5), (-0.2, 0.68), (-0.11, 0.86), (0.11, 0.86), (0.2, 0.68), (0.19, 0.5), (0.1, 0.34)],
        "scooter": [(-0.17, 0.2), (-0.2, 0.45), (-0.13, 0.76), (0.13, 0.76), (0.2, 0.45), (0.17, 0.2)],
    }[kind]
    parts.append(paint(spline(body), bulge=0.8))
    parts.append(paint(limb([(0.0, radius * 2 - 0.1), (0.0, radius * 2 + 0.03)], [width * 1.2, width * 1.1]), shade=0.92))
    if kind == "sport":
        parts.append(glass(spline([(-0.11, 0.82), (-0.08, 0.98), (0.08, 0.98), (0.11, 0.82)]), "sheen"))
    if kind != "sport":
        parts.append(metal(limb([(-half * 0.5, bar_y), (half * 0.5, bar_y)], [0.022, 0.022])))
    for side in (-1, 1):
        parts.append(metal(limb([(side * 0.1, bar_y - 0.02), (side * half * 0.6, bar_y + 0.01), (side * half * 0.75, bar_y)], [0.018] * 3)))
        parts.append(plain(limb([(side * half * 0.7, bar_y), (side * half, bar_y - 0.02)], [0.028, 0.028])))
        parts.append(metal(limb([(side * half * 0.65, bar_y), (side * half * 0.8, bar_y + 0.12)], [0.010, 0.010], 1)))
        parts.append(metal(ellipse(side * half * 0.82, bar_y + 0.14, 0.055, 0.04), "steel"))
    if not ahead:
        parts.append(plain(ellipse(0.0, 0.68, 0.15, 0.07), "seat"))
        parts.append(plain(ellipse(0.0, 0.58, 0.06, 0.035), "tail"))
        parts.append(plain(box(-0.07, 0.44, 0.07, 0.52), "plate"))
    elif kind == "sport":
        parts += [plain(ellipse(side * 0.085, 0.72, 0.06, 0.03, side * 0.35, 14), "lamp") for side in (-1, 1)]
    else:
        y = bar_y - 0.1 if kind == "cruiser" else bar_y - 0.02
        parts += [metal(ellipse(0.0, y, 0.095, 0.095)), plain(ellipse(0.0, y, 0.072, 0.072), "lamp")]
    return parts
