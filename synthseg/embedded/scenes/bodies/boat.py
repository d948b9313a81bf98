"""Boats: sailing boat, motor boat, rowing boat, fishing boat and ferry, floating with the waterline at y = 0."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, fillet, settle
from synthseg.embedded.scenes.geometry import Outline, box, ellipse
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part


class _Hull:
    """Hull by its gunwale: length, half-beam and sheer, with a raked bow at x = length / 2."""

    def __init__(self, length: float, half: float, deck: float, bow: float, stern: float) -> None:
        self.length, self.half, self.deck, self.bow, self.stern = length, half, deck, bow, stern
        self.share = np.linspace(0.0, 1.0, 15)
        self.x = (self.share - 0.5) * length

    def sheer(self, x: float) -> float:
        """Height of the gunwale at x."""
        t = 2 * x / self.length
        return float(self.deck + (self.bow - self.deck) * max(t, 0.0) ** 2 + (self.stern - self.deck) * max(-t, 0.0) ** 2)

    def _edge(self, side: float, inset: float = 0.0) -> Outline:
        beam = (
            self.half
            * np.sqrt(np.clip(1.0 - (np.clip(self.share - 0.45, 0, None) / 0.55) ** 2.2, 0, 1))
            * (0.78 + 0.22 * np.minimum(self.share / 0.45, 1))
        )
        return np.column_stack([self.x * (1 - inset), [self.sheer(x) for x in self.x], side * beam * (1 - 2 * inset)])

    def deck_outline(self, camera: Camera, inset: float = 0.0) -> Outline:
        """Gunwale as a closed curve."""
        return camera.project(np.concatenate([self._edge(1.0, inset), self._edge(-1.0, inset)[::-1]]))

    def side(self, camera: Camera, low: float = 0.0, high: float = 1.0, rake: float = 0.16) -> Outline:
        """Near side between the shares `low` and `high` of the height; the bow leans forward by `rake` of the length."""
        edge = self._edge(1.0)

        def at(level: float) -> Outline:
            line = edge.copy()
            line[:, 1] *= level
            line[:, 0] -= (1 - level) * self.length * (rake * self.share**3 - 0.04 * (1 - self.share) ** 3)
            line[:, 2] *= 0.75 + 0.25 * level
            return line

        return camera.project(np.concatenate([at(high), at(low)[::-1]]))


def boat(request: BodyRequest) -> Body:
    """A boat seen from the side or at an angle; about 1.2 long, a sailing boat 1.2 high, others lower."""
    kind = request.choose("sail", "motor", "row", "fishing", "ferry")
    view = request.view or request.choose("side", "side", "three_quarter")
    angled = view != "side"
    camera = Camera(request.span(0.3, 0.7), request.span(0.12, 0.25), 0.18) if angled else Camera(0.0, 0.05)
    paints = {
        "row": ("brown", "blue", "red", "green", "white"),
        "sail": ("white", "white", "navy", "red", "blue"),
        "motor": ("white", "white", "red", "navy", "teal"),
        "fishing": ("blue", "red", "green", "teal", "orange"),
        "ferry": ("white", "navy", "red", "white"),
    }[kind]
    palette = vehicle_palette(request, paints, ("white", "cream", "red", "navy"))
    palette["sail"] = (240.0, 236.0, 226.0) if request.chance(0.7) else palette["second"]
    palette["deck"] = (196.0, 160.0, 116.0)
    palette["cabin"] = (238.0, 236.0, 230.0)
    build = {"sail": _sail, "motor": _motor, "row": _row, "fishing": _fishing, "ferry": _ferry}[kind]
    parts = build(request, camera)
    return Body(settle(parts), palette, stand="water")


def _shell(hull: _Hull, camera: Camera, inner: str = "deck", rake: float = 0.16) -> list[Part]:
    """Deck, painted side, boot stripe and rubbing strake."""
    return [
        paint(hull.deck_outline(camera), shade=0.9),
        plain(hull.deck_outline(camera, 0.04), inner),
        paint(hull.side(camera, 0.0, 1.0, rake), bulge=0.7),
        plain(hull.side(camera, 0.0, 0.2, rake), "tail", 0.65),
        paint(hull.side(camera, 0.84, 0.95, rake), "second"),
    ]


def _house(
    camera: Camera, x0: float, x1: float, y0: float, y1: float, half: float, slope: float, windows: int, role: str = "cabin"
) -> list[Part]:
    """Deck house with a row of windows; its front leans back by `slope`."""
    outline = fillet([(x0, y0), (x0 + slope * 0.2, y1), (x1 - slope, y1), (x1, y0)], 0.03)
    parts = [
        paint(camera.strip((x0, y1), (x1 - slope, y1), half, half), role, 1.05),
        paint(camera.strip((x1, y0), (x1 - slope, y1), half, half), role, 0.9),
    ]
    height = y1 - y0
    if camera.yaw > 0.1:
        a, b = (x1 - slope * 0.35, y0 + height * 0.35), (x1 - slope * 0.88, y0 + height * 0.86)
        parts.append(glass(camera.strip(a, b, half * 0.85, half * 0.85)))
    parts.append(paint(camera.on_side(outline, half), role))
    edges = np.linspace(x0 + slope * 0.2 + 0.03, x1 - slope * 0.85 - 0.02, windows + 1)
    for a, b in pairwise(edges):
        gap = min(0.015, (b - a) * 0.15)
        parts.append(glass(camera.on_side(box(a + gap, y0 + height * 0.38, b - gap, y0 + height * 0.82), half)))
    return parts


def _rails(camera: Camera, hull: _Hull, x0: float, x1: float, height: float) -> list[Part]:
    xs = np.linspace(x0, x1, 5)
    half = hull.half * 0.7
    parts = [metal(camera.tube([(x, hull.sheer(x), half), (x, hull.sheer(x) + height, half)], 0.006, 1)) for x in xs]
    parts.append(metal(camera.tube([(x, hull.sheer(x) + height, half) for x in xs], 0.008, 1)))
    return parts


def _sail(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    hull = _Hull(span(1.0, 1.2), span(0.13, 0.17), span(0.14, 0.18), span(0.19, 0.24), span(0.15, 0.19))
    mast_x, top = span(0.02, 0.12), span(1.15, 1.4)
    boom_y = hull.deck + span(0.12, 0.17)
    boom_x = mast_x - span(0.44, 0.54)
    swing = span(-0.04, 0.14)
    parts = [metal(camera.tube([(mast_x, hull.deck, 0.0), (mast_x, top, 0.0)], 0.014), "metal")]
    leech = [
        (boom_x + (mast_x - boom_x) * t - 0.06 * np.sin(np.pi * t), boom_y + 0.02 + (top - 0.05 - boom_y) * t, swing * (1 - t))
        for t in np.linspace(0, 1, 8)
    ]
    main = camera.project([(mast_x - 0.012, boom_y + 0.02, 0.0), *leech, (mast_x - 0.012, top - 0.04, 0.0)])
    parts.append(plain(main, "sail", bulge=0.8))
    for t in (0.25, 0.5, 0.75):
        k = round(t * 7)
        parts.append(plain(camera.tube([(mast_x - 0.015, boom_y + (top - boom_y) * t, 0.0), leech[k]], 0.004, 1), "sail", 0.8))
    parts.append(metal(camera.tube([(mast_x, boom_y, 0.0), (boom_x - 0.03, boom_y, swing)], 0.014), "wood"))
    if request.chance(0.8):
        bow_x = hull.length / 2 - 0.04
        foot = [
            (bow_x - 0.03, hull.sheer(bow_x) + 0.03, 0.0),
            (mast_x + 0.04, boom_y, 0.05),
            (mast_x + 0.06, boom_y + (top - boom_y) * 0.45, 0.03),
            (mast_x + 0.015, top * 0.88, 0.0),
        ]
        parts.append(plain(camera.project(foot), "sail", 0.92, bulge=0.8))
        parts.append(plain(camera.tube([(bow_x, hull.sheer(bow_x), 0.0), (mast_x, top * 0.93, 0.0)], 0.005, 1), "steel"))
    parts.append(plain(camera.tube([(-hull.length / 2 + 0.02, hull.stern, 0.0), (mast_x, top, 0.0)], 0.005, 1), "steel"))
    if request.chance(0.5):
        parts.append(paint(camera.project([(mast_x, top, 0.0), (mast_x - 0.12, top - 0.025, 0.0), (mast_x, top - 0.05, 0.0)]), "tail"))
    shell = _shell(hull, camera)
    cabin = _house(camera, -0.22, 0.2, hull.deck - 0.02, hull.deck + 0.07, hull.half * 0.5, 0.08, 3)
    return [*shell[:2], *cabin, *parts, *shell[2:]]


def _motor(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    hull = _Hull(span(1.2, 1.4), span(0.19, 0.24), span(0.19, 0.23), span(0.28, 0.34), span(0.18, 0.22))
    shell = _shell(hull, camera, rake=0.22)
    front = span(0.12, 0.2)
    parts = shell[:2]
    parts.append(
        plain(
            camera.tube([(-hull.length / 2 - 0.03, 0.05, 0.0), (-hull.length / 2 - 0.03, hull.stern + 0.06, 0.0)], [0.04, 0.06], 3),
            "dark",
            bulge=0.9,
        )
    )
    parts += [
        plain(camera.tube([(x, hull.deck - 0.02, z), (x - 0.03, hull.deck + 0.08, z)], 0.045), "seat")
        for z in (-0.09, 0.09)
        for x in (-0.2, -0.42)
    ]
    if request.chance(0.5):
        parts += _house(camera, -0.32, front + 0.12, hull.deck - 0.02, hull.deck + span(0.17, 0.22), hull.half * 0.72, 0.24, 2)
        parts.append(metal(camera.tube([(-0.2, hull.deck + 0.17, 0.0), (-0.24, hull.deck + 0.32, 0.0)], 0.012)))
    else:
        y = hull.deck + 0.01
        parts.append(
            paint(
                camera.strip((hull.length * 0.42, hull.sheer(hull.length * 0.42) + 0.01), (front, y + 0.06), 0.02, hull.half * 0.8), "cabin"
            )
        )
        parts.append(glass(camera.strip((front, y), (front - 0.12, y + 0.15), hull.half * 0.78, hull.half * 0.7), "sheen"))
        parts.append(
            glass(
                camera.on_side(fillet([(front + 0.03, y), (front - 0.1, y + 0.15), (front - 0.26, y)], 0.01), hull.half * 0.75),
                "sheen",
                0.85,
            )
        )
    parts += shell[2:]
    parts += _rails(camera, hull, hull.length * 0.12, hull.length * 0.4, 0.07)
    return parts


def _row(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    tilted = Camera(camera.yaw, max(camera.elevation, 0.12) + span(0.05, 0.15), camera.perspective)
    hull = _Hull(span(1.1, 1.3), span(0.2, 0.25), span(0.15, 0.19), span(0.24, 0.3), span(0.18, 0.23))
    shell = _shell(hull, tilted, "wood", rake=0.12)
    parts = [shell[0], plain(hull.deck_outline(tilted, 0.04), "wood", 0.55)]
    parts += [
        plain(tilted.strip((x - 0.05, hull.deck - 0.01), (x + 0.05, hull.deck - 0.01), hull.half * 0.85, hull.half * 0.85), "wood", 1.15)
        for x in (-0.36, -0.02, 0.3)
    ]
    far = [(-0.05, hull.deck, -hull.half * 0.9), (span(-0.3, -0.15), 0.02, -hull.half - 0.3)]
    parts.append(plain(tilted.tube(far, 0.016), "wood", 1.2, bulge=0.7))
    parts += [shell[2], *[plain(hull.side(tilted, t, t + 0.04, 0.12), "shadow") for t in (0.3, 0.6)], shell[4]]
    tip = (span(-0.4, -0.15), 0.0, hull.half + 0.30)
    parts.append(
        plain(
            tilted.tube([(0.12, hull.deck + 0.14, hull.half * 0.2), (-0.02, hull.deck + 0.03, hull.half), tip], 0.016),
            "wood",
            1.3,
            bulge=0.7,
        )
    )
    parts.append(plain(tilted.tube([((tip[0] - 0.02) * 0.75, 0.055, hull.half + 0.2), tip], [0.03, 0.036]), "wood", 1.3, bulge=0.5))
    return parts


def _fishing(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    hull = _Hull(span(1.1, 1.25), span(0.18, 0.22), span(0.2, 0.25), span(0.36, 0.44), span(0.24, 0.3))
    shell = _shell(hull, camera)
    parts = shell[:2]
    mast_x, top = span(-0.08, 0.0), span(0.85, 1.02)
    x0 = span(0.0, 0.08)
    parts.append(metal(camera.tube([(mast_x, hull.deck, 0.0), (mast_x, top, 0.0)], 0.018), "wood"))
    parts.append(metal(camera.tube([(mast_x, hull.deck + 0.12, 0.0), (-hull.length / 2 + 0.02, top * 0.82, 0.0)], 0.013), "wood"))
    parts.append(
        plain(
            camera.tube(
                [(mast_x, top, 0.0), (-hull.length / 2 + 0.02, top * 0.82, 0.0), (-hull.length / 2 + 0.05, hull.stern, 0.0)], 0.005, 1
            ),
            "steel",
        )
    )
    parts.append(plain(camera.tube([(mast_x, top, 0.0), (hull.length / 2 - 0.03, hull.bow, 0.0)], 0.005, 1), "steel"))
    parts += _house(camera, x0, x0 + span(0.26, 0.32), hull.deck - 0.02, hull.deck + span(0.3, 0.36), hull.half * 0.62, 0.05, 2)
    parts.append(paint(camera.on_side(box(x0 - 0.03, hull.deck + 0.30, x0 + 0.3, hull.deck + 0.34), hull.half * 0.62), "paint"))
    parts += [
        plain(camera.on_side(box(x, hull.deck - 0.01, x + 0.1, hull.deck + 0.08), 0.05), role)
        for x, role in ((-0.45, "signal"), (-0.32, "wood"), (-0.2, "signal"))
    ]
    parts += shell[2:]
    parts += [
        plain(camera.on_side(ellipse(x, hull.deck * 0.72, 0.032, 0.045, samples=12), hull.half), "dark", bulge=0.9)
        for x in (-0.3, -0.05, 0.18)
    ]
    return parts


def _ferry(request: BodyRequest, camera: Camera) -> list[Part]:
    span = request.span
    hull = _Hull(span(1.45, 1.7), span(0.18, 0.22), span(0.19, 0.23), span(0.24, 0.29), span(0.2, 0.24))
    shell = _shell(hull, camera)
    half = hull.half
    y, floor = hull.deck, span(0.13, 0.16)
    back, front = -hull.length * 0.44, hull.length * span(0.26, 0.32)
    parts = shell[:2]
    parts.append(paint(camera.tube([(-0.28, y + floor * 2, 0.0), (-0.32, y + floor * 3.3, 0.0)], [0.08, 0.07], 1), "tail"))
    parts.append(plain(camera.tube([(-0.318, y + floor * 3.25, 0.0), (-0.32, y + floor * 3.4, 0.0)], [0.072, 0.072], 1), "dark"))
    parts.append(metal(camera.tube([(front - 0.3, y + floor * 2, 0.0), (front - 0.32, y + floor * 4, 0.0)], 0.012)))
    for level in range(2):
        parts += _house(
            camera,
            back + 0.1 * level,
            front - 0.12 * level,
            y + floor * level - 0.01,
            y + floor * (level + 1),
            half * (0.85 - 0.1 * level),
            0.06,
            11 - 2 * level,
        )
    parts += _house(camera, front - 0.44, front - 0.22, y + floor * 2, y + floor * 2.8, half * 0.6, 0.05, 2)
    parts += [
        paint(camera.tube([(x, y + floor * 2 + 0.02, half * 0.6), (x + 0.11, y + floor * 2 + 0.02, half * 0.6)], 0.024), "signal")
        for x in (-0.1, -0.58)
    ]
    parts += shell[2:]
    parts += [
        plain(camera.on_side(ellipse(x, y * 0.6, 0.015, 0.015, samples=8), half), "dark")
        for x in np.linspace(-hull.length * 0.4, hull.length * 0.25, 9)
    ]
    return parts
