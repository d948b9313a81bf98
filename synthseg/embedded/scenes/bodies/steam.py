"""Steam locomotive with its tender, part of the train class."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain
from synthseg.embedded.scenes.bodies.solid import Camera, fillet
from synthseg.embedded.scenes.bodies.wheels import BOGIE_TOP, bogie, spoked_wheel
from synthseg.embedded.scenes.geometry import box, ellipse, limb, polygon
from synthseg.embedded.scenes.parts import BodyRequest, Part


def steam_side(request: BodyRequest, camera: Camera, height: float) -> list[Part]:
    """Locomotive with boiler, chimney, cab and big driving wheels, and its tender."""
    span = request.span
    squash = float(abs(np.cos(camera.yaw)))
    axis, radius = span(0.36, 0.41), span(0.13, 0.155)
    front, cab = 1.0, span(0.02, 0.1)
    wheel, num_drivers = span(0.13, 0.16), int(request.rng.integers(2, 4))
    smoke = front - 0.1
    parts: list[Part] = []
    hitch = cab - 0.3
    tender = [*bogie(hitch - 0.55), *bogie(hitch - 0.2), plain(box(hitch - 0.72, BOGIE_TOP - 0.03, hitch - 0.02, BOGIE_TOP + 0.04), "dark")]
    tender.append(plain(limb([(hitch - 0.62, 0.46), (hitch - 0.35, 0.52), (hitch - 0.12, 0.46)], [0.02, 0.05, 0.02]), "dark", bulge=1.0))
    tender.append(paint(box(hitch - 0.7, BOGIE_TOP + 0.03, hitch - 0.04, 0.46, 0.02)))
    tender.append(paint(box(hitch - 0.66, BOGIE_TOP + 0.08, hitch - 0.08, BOGIE_TOP + 0.1), "second"))
    tender.append(plain(box(hitch - 0.05, BOGIE_TOP - 0.02, cab - 0.2, BOGIE_TOP + 0.04), "dark"))
    parts += camera.side_parts(tender, 0.15)
    side = [plain(box(cab - 0.26, 0.17, front + 0.02, 0.24), "dark")]
    parts += camera.side_parts(side, 0.12)
    parts.append(
        metal(
            camera.tube([(smoke - 0.06, axis + radius * 0.7, 0.0), (smoke - 0.06, axis + radius + span(0.13, 0.2), 0.0)], [0.045, 0.055]),
            "dark",
        )
    )
    parts.append(
        metal(camera.tube([(smoke - 0.06, axis + radius + 0.17, 0.0), (smoke - 0.06, axis + radius + 0.2, 0.0)], [0.07, 0.07]), "dark")
    )
    dome = smoke - span(0.34, 0.42)
    parts.append(metal(camera.tube([(dome, axis + radius * 0.7, 0.0), (dome, axis + radius + 0.06, 0.0)], [0.06, 0.055], 4), "metal"))
    parts.append(
        metal(camera.tube([(dome - 0.2, axis + radius * 0.7, 0.0), (dome - 0.2, axis + radius + 0.03, 0.0)], [0.03, 0.025], 3), "metal")
    )
    ends = camera.project([(cab - 0.02, axis, 0.0), (smoke - 0.12, axis, 0.0), (smoke, axis, 0.0)])
    parts.append(paint(limb(ends[:2], [radius, radius], 1), bulge=1.0))
    parts.append(metal(limb(ends[1:], [radius * 1.04, radius * 1.04], 1), "dark", bulge=1.0))
    for x in np.linspace(cab + 0.15, smoke - 0.2, 4):
        ((bx, by),) = camera.project([(x, axis, 0.0)])
        parts.append(metal(limb([(bx, by - radius), (bx, by + radius)], [0.009, 0.009], 1), "second"))
    ((sx, sy),) = camera.project([(front - 0.02, axis, 0.0)])
    parts.append(metal(ellipse(sx, sy, max(radius * float(np.sin(camera.yaw)), 0.025), radius), "steel", 0.6))
    ((lx, ly),) = camera.project([(front - 0.02, axis + radius + 0.05, 0.0)])
    parts.append(plain(ellipse(lx, ly, 0.04, 0.04, samples=12), "lamp"))
    cab_side = [
        paint(box(cab - 0.26, 0.2, cab + 0.02, height - 0.03)),
        plain(box(cab - 0.2, 0.44, cab - 0.03, height - 0.07, 0.02), "glass"),
    ]
    cab_side.append(paint(box(cab - 0.23, 0.25, cab - 0.02, 0.27), "second"))
    cab_side.append(
        paint(limb([(cab - 0.32, height - 0.03), (cab - 0.12, height + 0.0), (cab + 0.07, height - 0.03)], [0.018, 0.028, 0.018]), "dark")
    )
    if camera.yaw > 0.2:
        parts.append(paint(camera.on_front(box(-0.17, 0.2, 0.17, height - 0.03), cab), shade=0.8))
        parts.append(paint(camera.on_front(box(-0.17, 0.14, 0.17, 0.22), front + 0.02), "tail"))
    parts += camera.side_parts(cab_side, 0.17)
    parts += camera.side_parts(
        [plain(box(cab, 0.255, front - 0.05, 0.28), "steel"), metal(box(front - 0.28, 0.13, front - 0.06, 0.24, 0.03), "paint", 0.9)], 0.16
    )
    xs = np.linspace(cab - 0.08, cab - 0.08 + (num_drivers - 1) * (2 * wheel + 0.02), num_drivers)
    small = [front - 0.27, front - 0.1] if num_drivers == 2 else [front - 0.1]
    for x, r in [*((x, wheel) for x in xs), *((x, 0.075) for x in small)]:
        ((wx, wy),) = camera.project([(x, r, 0.16)])
        parts.append(plain(ellipse(wx, wy, r * 0.95 * squash, r * 0.95), "dark", 0.8))
        parts += spoked_wheel(wx, wy, r, 0.028, 10 if r > 0.1 else 6, 0.1, squash, 0.009, "tail")
        parts.append(metal(ellipse(wx, wy, r * 0.2, r * 0.2, samples=10), "steel"))
    parts.append(metal(camera.tube([(xs[0], wheel - 0.05, 0.18), (xs[-1], wheel - 0.05, 0.18)], 0.016)))
    parts.append(metal(camera.tube([(xs[-1], wheel - 0.05, 0.18), (front - 0.2, 0.18, 0.18)], 0.012)))
    catcher = [plain(polygon([(front, 0.17), (front + 0.03, 0.17), (front + 0.14, 0.02), (front, 0.02)]), "steel", 0.7)]
    catcher += [plain(limb([(front + 0.01, 0.16), (front + d, 0.03)], [0.008, 0.008], 1)) for d in (0.03, 0.07, 0.11)]
    parts += camera.side_parts(catcher, 0.1)
    return parts


def steam_face(request: BodyRequest) -> list[Part]:
    """Round smokebox door over a red buffer beam."""
    span = request.span
    axis, radius, half = span(0.5, 0.56), span(0.21, 0.25), span(0.27, 0.32)
    top = axis + radius
    parts: list[Part] = [
        paint(
            fillet(
                [(-half, 0.25), (-half, top - 0.02), (-half * 0.5, top + 0.07), (half * 0.5, top + 0.07), (half, top - 0.02), (half, 0.25)],
                0.06,
            ),
            shade=0.85,
        )
    ]
    parts += [glass(box(side * half * 0.84 - 0.035, top - 0.14, side * half * 0.84 + 0.035, top - 0.03)) for side in (-1, 1)]
    parts.append(metal(limb([(0.0, top - 0.04), (0.0, top + 0.16)], [0.075, 0.085], 2), "dark"))
    parts.append(metal(limb([(-0.06, top + 0.17), (0.06, top + 0.17)], [0.022, 0.022]), "dark"))
    parts.append(plain(box(-half * 0.9, 0.1, half * 0.9, 0.36, 0.02), "dark"))
    parts.append(metal(ellipse(0.0, axis, radius, radius, samples=36), "dark", bulge=0.9))
    parts.append(metal(ellipse(0.0, axis, radius * 0.82, radius * 0.82, samples=36), "steel", 0.55))
    parts.append(metal(limb([(-radius * 0.5, axis), (radius * 0.5, axis)], [0.014, 0.014]), "metal"))
    parts.append(metal(ellipse(0.0, axis, 0.045, 0.045), "metal"))
    parts.append(plain(ellipse(0.0, top - 0.03, 0.06, 0.06), "lamp"))
    for side in (-1, 1):
        parts.append(metal(box(side * half * 0.62 - 0.035, 0.0, side * half * 0.62 + 0.035, 0.2), "steel", 0.7))
        parts.append(metal(box(side * half * 0.9 - 0.06, 0.12, side * half * 0.9 + 0.06, 0.26, 0.03), "paint"))
    parts.append(paint(box(-half * 1.05, 0.21, half * 1.05, 0.31), "tail"))
    for side in (-1, 1):
        parts.append(metal(ellipse(side * half * 0.66, 0.26, 0.055, 0.055, samples=16), "metal"))
        parts.append(plain(ellipse(side * half * 0.85, 0.37, 0.035, 0.04, samples=12), "lamp"))
    parts += [plain(limb([(x * 0.25, 0.2), (x, 0.04)], [0.012, 0.012], 1), "steel") for x in np.linspace(-half * 0.8, half * 0.8, 7)]
    return parts
