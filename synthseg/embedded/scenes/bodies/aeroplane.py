"""Aeroplanes: airliner, propeller plane, jet fighter and biplane, modelled in three dimensions for every view."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.livery import glass, metal, paint, plain, vehicle_palette
from synthseg.embedded.scenes.bodies.solid import Camera, settle
from synthseg.embedded.scenes.geometry import ellipse, limb
from synthseg.embedded.scenes.parts import Body, BodyRequest, Part

Point = tuple[float, float, float]


class _Plane:
    """Parts with the depth that orders them; lengths in body units, nose at x = +1."""

    def __init__(self, request: BodyRequest, camera: Camera) -> None:
        self.request, self.camera = request, camera
        self.parts: list[tuple[float, Part]] = []

    def add(self, depth: Point, part: Part) -> None:
        """Keep `part`, painted in the order of how near `depth` lies."""
        c, s = np.cos(self.camera.yaw), np.sin(self.camera.yaw)
        ce, se = np.cos(self.camera.elevation), np.sin(self.camera.elevation)
        x, y, z = depth
        self.parts.append((float((x * s + z * c) * ce + y * se), part))

    def panel(self, points: list[Point], role: str = "paint", shade: float = 1.0) -> None:
        """Thin flat surface: wing, fin."""
        outline = self.camera.project(points)
        thick = self.camera.tube([points[0], points[-1]], 0.012, 1)
        centre = tuple(float(v) for v in np.mean(points, axis=0))
        self.add((centre[0], centre[1], centre[2]), paint(thick, role, shade * 0.9))
        self.add((centre[0], centre[1], centre[2]), paint(outline, role, shade, 0.3))

    def mirrored(self, points: list[Point], role: str = "paint") -> None:
        """A panel on both sides; the far one is darker."""
        for side in (-1.0, 1.0):
            below = 0.86 if self.camera.elevation < 0 else 1.0
            self.panel([(x, y, z * side) for x, y, z in points], role, (0.88 if side < 0 else 1.0) * below)

    def tube(self, points: list[Point], radii: list[float], role: str = "paint", shade: float = 1.0, cap: int = 4) -> None:
        """Round body: fuselage, engine."""
        centre = np.mean(points, axis=0)
        self.add((float(centre[0]), float(centre[1]), float(centre[2])), paint(self.camera.tube(points, radii, cap), role, shade, 0.9))

    def finish(self) -> list[Part]:
        """All parts, far to near."""
        return [part for _, part in sorted(self.parts, key=lambda item: item[0])]


def aeroplane(request: BodyRequest) -> Body:
    """An aeroplane flying (`stand` air) or parked on its landing gear; about 2 long, any direction."""
    kind = request.choose("airliner", "airliner", "propeller", "fighter", "biplane")
    view = request.view or request.choose("side", "side", "three_quarter", "three_quarter", "top", "front")
    parked = request.pose in ("parked", "standing") or (request.pose is None and request.chance(0.25))
    span = request.span
    if view == "side":
        camera = Camera(span(-0.1, 0.3), span(0.05, 0.3) * (1 if parked or request.chance(0.6) else -1), 0.10)
    elif view == "top":
        camera = Camera(span(-0.3, 0.3), -span(0.9, 1.3) if not parked else span(0.7, 1.0), 0.08)
    elif view == "three_quarter":
        camera = Camera(span(0.45, 0.9), span(0.15, 0.4) * (1 if parked or request.chance(0.5) else -1), 0.14)
    else:
        camera = Camera(span(1.4, 1.55), span(0.0, 0.12), 0.14)
    paints = {
        "airliner": ("white", "white", "silver", "blue", "red"),
        "propeller": ("white", "red", "yellow", "blue"),
        "fighter": ("gray", "gray", "silver", "green", "navy"),
        "biplane": ("red", "yellow", "blue", "green", "orange"),
    }[kind]
    palette = vehicle_palette(request, paints, ("red", "blue", "navy", "teal", "yellow", "orange"))
    plane = _Plane(request, camera)
    {"airliner": _airliner, "propeller": _propeller, "fighter": _fighter, "biplane": _biplane}[kind](plane, parked)
    tilt = 0.0 if parked or view == "top" else span(-0.05, 0.2)
    parts = plane.finish()
    c, s = np.cos(tilt), np.sin(tilt)
    for part in parts:
        part.outline = part.outline @ np.array([[c, s], [-s, c]])
    return Body(settle(parts), palette, stand="ground" if parked else "air")


def _gear(plane: _Plane, spots: list[Point], drop: float, radius: float) -> None:
    for x, y, z in spots:
        plane.add((x, y - 0.1, z), metal(plane.camera.tube([(x, y, z), (x, drop + radius, z)], 0.014)))
        ((wx, wy),) = plane.camera.project([(x, drop + radius, z)])
        plane.add((x, y - 0.05, z), plain(ellipse(wx, wy, radius, radius, samples=14), "tyre", bulge=0.8))
        plane.add((x, y - 0.04, z), metal(ellipse(wx, wy, radius * 0.45, radius * 0.45, samples=10)))


def _airliner(plane: _Plane, parked: bool) -> None:
    span, camera = plane.request.span, plane.camera
    r = span(0.085, 0.115)
    plane.tube(
        [(-1.0, 0.05, 0), (-0.75, 0.03, 0), (-0.45, 0, 0), (0.7, 0, 0), (0.86, -0.01, 0), (0.96, -0.03, 0)],
        [0.02, r * 0.6, r, r, r * 0.78, r * 0.36],
    )
    reach, sweep = span(0.75, 0.95), span(0.35, 0.5)
    root = span(0.12, 0.22)
    wing: list[Point] = [(root, -0.05, 0.06), (root - sweep, 0.04, reach), (root - sweep - 0.12, 0.045, reach), (root - 0.42, -0.05, 0.06)]
    plane.mirrored(wing)
    plane.mirrored([(-0.72, 0.04, 0.03), (-0.92, 0.07, 0.32), (-1.0, 0.07, 0.32), (-0.93, 0.05, 0.03)])
    fin_y = span(0.36, 0.44)
    plane.panel([(-0.66, r * 0.7, 0.0), (-0.90, fin_y, 0.0), (-1.03, fin_y, 0.0), (-0.96, 0.06, 0.0)], "second")
    stations = [0.38, 0.62] if plane.request.chance(0.35) else [0.42]
    for share in stations:
        x = root - sweep * share + 0.06
        z = 0.06 + (reach - 0.06) * share
        for side in (-1.0, 1.0):
            plane.tube(
                [(x - 0.12, -0.10, side * z), (x + 0.08, -0.10, side * z)],
                [0.045, 0.058],
                "second" if share == 0.42 else "metal",
                0.85 if side < 0 else 1.0,
                1,
            )
            ((ex, ey),) = camera.project([(x + 0.1, -0.10, side * z)])
            plane.add(
                (x + 0.3, -0.10, side * z), plain(ellipse(ex, ey, max(0.05 * abs(np.sin(camera.yaw)), 0.014), 0.05, samples=14), "dark")
            )
    if plane.request.chance(0.6) and abs(camera.elevation) < 0.5:
        lines = camera.project([(-0.7, -0.005, r * 0.8), (0.0, -0.02, r), (0.85, -0.02, r * 0.8)])
        plane.add((0, 0, 0.09), paint(limb(lines, [0.012] * 3, 1), "second"))
    if camera.elevation < 0.6 and camera.elevation > -0.6:
        for x in np.arange(-0.5, 0.72, 0.06):
            ((wx, wy),) = camera.project([(x, r * 0.35, r * 0.9)])
            plane.add((0, 0, 0.1), plain(ellipse(wx, wy, 0.013, 0.018, samples=8), "glass"))
    panes = camera.project([(0.80, r * 0.35, r * 0.6), (0.86, r * 0.62, r * 0.3), (0.91, r * 0.3, r * 0.2), (0.88, r * 0.1, r * 0.55)])
    if camera.elevation > -0.6:
        plane.add((0.2, 0.1, 0.2), glass(panes))
    if parked:
        _gear(plane, [(0.7, -0.05, 0.0), (-0.1, -0.05, 0.16), (-0.1, -0.05, -0.16)], -0.30, 0.045)


def _disc(plane: _Plane, x: float, y: float, radius: float) -> None:
    """Three propeller blades and the spinner at the nose."""
    camera = plane.camera
    start = plane.request.rng.uniform(0, np.pi)
    for k in range(3):
        a = start + k * 2 * np.pi / 3
        plane.add(
            (x + 0.1, y, 0), plain(camera.tube([(x, y, 0.0), (x, y + radius * np.sin(a), radius * np.cos(a))], [0.022, 0.012]), "dark")
        )
    plane.tube([(x - 0.03, y, 0.0), (x + 0.05, y, 0.0)], [0.045, 0.02], "metal")


def _propeller(plane: _Plane, parked: bool) -> None:
    span, camera = plane.request.span, plane.camera
    r = span(0.11, 0.14)
    high = plane.request.chance(0.5)
    plane.tube([(-0.95, 0.06, 0), (-0.4, 0.03, 0), (-0.05, 0.01, 0), (0.4, 0, 0), (0.72, -0.01, 0)], [0.03, r * 0.7, r, r, r * 0.75])
    plane.tube([(-0.3, 0.07, 0), (0.0, 0.12, 0), (0.22, 0.10, 0), (0.4, 0.03, 0)], [r * 0.4, r * 0.75, r * 0.7, r * 0.4], "paint", 0.98)
    panes = camera.project(
        [(-0.2, 0.09, r * 0.7), (-0.12, 0.17, r * 0.5), (0.2, 0.165, r * 0.5), (0.37, 0.07, r * 0.5), (0.3, 0.06, r * 0.8)]
    )
    if camera.elevation > -0.7:
        plane.add((0.2, 0.1, 0.12), glass(panes))
        plane.add((0.2, 0.1, 0.125), paint(camera.tube([(0.06, 0.06, r * 0.75), (0.05, 0.18, r * 0.5)], 0.012, 1)))
        plane.add(
            (0, 0, 0.1),
            paint(
                limb(camera.project([(-0.9, 0.06, 0.03), (-0.3, 0.02, r * 0.8), (0.7, -0.01, r * 0.7)]), [0.012, 0.022, 0.022], 1), "second"
            ),
        )
    reach, y = span(0.85, 1.05), 0.21 if high else -0.08
    plane.mirrored(
        [(0.32, y, 0.02 if high else 0.08), (0.26, y + 0.05, reach), (0.05, y + 0.05, reach), (-0.02, y, 0.02 if high else 0.08)]
    )
    if high:
        for side in (-1.0, 1.0):
            plane.add((0.1, 0, side * 0.2), metal(camera.tube([(0.12, -0.08, side * 0.1), (0.14, y + 0.02, side * 0.45)], 0.012)))
    plane.mirrored([(-0.72, 0.07, 0.02), (-0.78, 0.08, 0.34), (-0.94, 0.08, 0.34), (-0.96, 0.07, 0.02)])
    plane.panel([(-0.62, 0.1, 0.0), (-0.86, 0.38, 0.0), (-1.0, 0.38, 0.0), (-0.97, 0.05, 0.0)], "second")
    _disc(plane, 0.78, -0.01, span(0.22, 0.28))
    _gear(plane, [(0.55, -0.06, 0.0), (0.02, -0.06, 0.2), (0.02, -0.06, -0.2)], -0.30 if parked else -0.26, 0.06)


def _fighter(plane: _Plane, parked: bool) -> None:
    span, camera = plane.request.span, plane.camera
    r = span(0.075, 0.1)
    plane.tube(
        [(-0.85, 0, 0), (-0.5, 0, 0), (0.1, 0, 0), (0.5, 0.01, 0), (0.8, 0, 0), (1.05, -0.02, 0)],
        [r * 0.8, r, r * 1.05, r * 0.9, r * 0.55, 0.008],
    )
    reach = span(0.5, 0.62)
    plane.mirrored([(0.3, -0.02, 0.05), (-0.42, -0.02, reach), (-0.62, -0.02, reach), (-0.55, -0.02, 0.05)])
    plane.mirrored([(-0.58, 0.0, 0.05), (-0.85, 0.0, 0.34), (-1.0, 0.0, 0.34), (-0.85, 0.0, 0.05)])
    twin = plane.request.chance(0.5)
    for z in (-0.1, 0.1) if twin else (0.0,):
        out = z * 1.6
        plane.panel([(-0.42, 0.06, z), (-0.74, 0.36, out), (-0.9, 0.36, out), (-0.82, 0.04, z)], "paint", 0.9)
        plane.panel([(-0.64, 0.27, out * 0.93), (-0.74, 0.36, out), (-0.9, 0.36, out), (-0.88, 0.27, out * 0.93)], "second")
    for side in (-1.0, 1.0):
        plane.tube([(-0.2, -0.04, side * r), (0.22, -0.04, side * r)], [0.06, 0.055], "paint", 0.9, 1)
        ((ex, ey),) = camera.project([(0.23, -0.04, side * (r + 0.02))])
        plane.add((0.24, -0.04, side * r), plain(ellipse(ex, ey, 0.025, 0.045, samples=12)))
        plane.tube([(-0.42, -0.06, side * reach * 0.6), (0.02, -0.06, side * reach * 0.6)], [0.018, 0.014], "metal")
        plane.tube([(-0.66, -0.02, side * reach), (-0.3, -0.02, side * reach)], [0.014, 0.012], "metal")
    plane.tube([(-0.98, 0, 0), (-0.85, 0, 0)], [r * 0.62, r * 0.78], "dark", 1.0, 1)
    if camera.elevation > -0.7:
        canopy = camera.tube([(0.22, r * 0.8, 0), (0.38, r * 1.25, 0), (0.54, r * 1.05, 0), (0.66, r * 0.5, 0)], [0.02, 0.05, 0.048, 0.02])
        plane.add((0.45, 0.15, 0.03), glass(canopy))
    if parked:
        _gear(plane, [(0.5, -0.04, 0.0), (-0.25, -0.04, 0.14), (-0.25, -0.04, -0.14)], -0.27, 0.05)


def _biplane(plane: _Plane, parked: bool) -> None:
    span, camera = plane.request.span, plane.camera
    r = span(0.11, 0.135)
    plane.tube([(-0.9, 0.05, 0), (-0.3, 0.02, 0), (0.2, 0, 0), (0.55, 0, 0)], [0.03, r * 0.75, r, r])
    plane.tube([(0.52, 0, 0), (0.64, 0, 0)], [r * 1.08, r * 0.9], "metal", 0.8, 1)
    reach, top, low = span(0.75, 0.95), span(0.27, 0.33), -0.08
    for y in (low, top):
        plane.mirrored(
            [(0.46, y, 0.0), (0.44, y + 0.02, reach), (0.14, y + 0.02, reach), (0.12, y, 0.0)], "paint" if y == low else "second"
        )
    for side in (-1.0, 1.0):
        for x in (0.18, 0.4):
            z = side * reach * 0.72
            plane.add((x, top * 0.5, z), metal(camera.tube([(x - 0.02, low, z), (x, top, z)], 0.013), "wood"))
            plane.add((x, top * 0.5, side * 0.1), metal(camera.tube([(x, 0.05, side * 0.08), (x, top, side * 0.14)], 0.013), "wood"))
        plane.add(
            (0.3, top * 0.4, side * 0.3), plain(camera.tube([(0.3, low, side * 0.1), (0.3, top, side * reach * 0.72)], 0.004, 1), "steel")
        )
    plane.mirrored([(-0.68, 0.06, 0.02), (-0.74, 0.06, 0.3), (-0.9, 0.06, 0.3), (-0.92, 0.06, 0.02)], "second")
    plane.panel([(-0.64, 0.09, 0.0), (-0.78, 0.30, 0.0), (-0.92, 0.32, 0.0), (-0.97, 0.2, 0.0), (-0.92, 0.04, 0.0)], "second")
    if camera.elevation > -0.7:
        plane.add((-0.05, 0.1, 0.02), plain(camera.tube([(-0.16, r * 0.85, 0), (0.0, r * 0.85, 0)], [0.035, 0.035]), "dark"))
        plane.add((0.05, 0.12, 0.02), glass(camera.tube([(0.02, r * 0.9, 0), (-0.01, r * 1.5, 0)], [0.02, 0.014], 1), "sheen"))
    _disc(plane, 0.68, 0.0, span(0.24, 0.3))
    _gear(plane, [(0.36, -0.08, 0.17), (0.36, -0.08, -0.17)], -0.34, 0.085)
    if parked:
        _gear(plane, [(-0.82, 0.02, 0.0)], -0.10, 0.035)
