"""People: a jointed skeleton in three dimensions, dressed and seen from any side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.bodies.choices import choose_view, darker, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import Camera, grounded
from synthseg.embedded.scenes.bodies.person_head import head_parts
from synthseg.embedded.scenes.geometry import limb, polygon, rotate, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part, View

Vector = NDArray[np.float64]
_Layer = tuple[float, list[Part]]
"""Distance towards the viewer and what is painted there."""

_SKINS: tuple[Color, ...] = ((244, 208, 178), (228, 182, 146), (202, 148, 108), (168, 112, 76), (126, 82, 54), (86, 56, 40))
_YAWS: dict[View, tuple[float, float]] = {
    "front": (-10, 10), "side": (80, 90), "back": (168, 192), "three_quarter": (30, 52), "top": (20, 50),
}  # fmt: skip


@dataclass(slots=True)
class _Joints:
    """Angles in degrees: forward swing and inward bend of left and right limbs, and how far they stand out sideways."""

    hip: tuple[float, float]
    knee: tuple[float, float]
    shoulder: tuple[float, float]
    elbow: tuple[float, float]
    spread: float = 4.0
    arm_out: tuple[float, float] = (10.0, 10.0)
    lean: float = 0.0


@dataclass(slots=True)
class _Build:
    """Lengths in units of body height 1."""

    head: float
    neck: float
    torso: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    shoulder: float
    waist: float
    hip: float
    arm_r: float
    leg_r: float


@dataclass(slots=True)
class _Outfit:
    top: str
    bottom: str
    long_sleeves: bool


def person(request: BodyRequest) -> Body:
    """A person about 1 unit tall (children less): standing, walking, running, sitting, waving, riding or lying.

    `request.color` colours the upper cloth.
    """
    view = choose_view(request, "front", "three_quarter", "side", "side", "back")
    pose = request.pose or request.choose("standing", "walking", "standing", "waving")
    pose = pose if pose in _POSES else "standing"
    low, high = _YAWS[view]
    pitch = request.rng.uniform(3, 8) + (8 if pose in ("sitting", "riding") else 0)
    camera = Camera(np.radians(request.rng.uniform(low, high)), np.radians(pitch), 8.0)
    child = request.chance(0.2)
    build, joints = _proportions(request, child), _POSES[pose](request)
    upright = pose in ("standing", "walking", "waving", "lying")
    bottom = request.choose("trousers", "trousers", "trousers", "shorts", "skirt" if upright else "shorts")
    top = request.choose("shirt", "shirt", "jacket", "sweater", "dress" if upright else "shirt")
    outfit = _Outfit(top, "skirt" if top == "dress" else bottom, top in ("jacket", "sweater") or request.chance(0.25))
    palette = _palette(request, outfit)
    parts = _figure(request, build, joints, outfit, camera)
    if pose == "lying":
        for part in parts:
            part.outline = rotate(part.outline, -np.pi / 2)
    size = request.span(0.62, 0.80) if child else request.span(0.94, 1.04)
    for part in parts:
        part.outline = part.outline * size
    return Body(grounded(parts), palette)


def _proportions(request: BodyRequest, child: bool) -> _Build:
    s = request.span
    head = s(0.20, 0.25) if child else s(0.145, 0.185)
    leg = s(0.20, 0.24) if child else s(0.225, 0.265)
    girth = s(0.8, 1.25)
    return _Build(
        head=head, neck=0.022 if child else s(0.03, 0.05), torso=s(0.27, 0.33), upper_arm=s(0.14, 0.17), forearm=s(0.125, 0.15),
        thigh=leg, shin=leg * s(0.92, 1.02), shoulder=s(0.105, 0.14), waist=0.085 * girth, hip=0.09 * girth,
        arm_r=s(0.026, 0.038), leg_r=s(0.044, 0.064),
    )  # fmt: skip


def _standing(request: BodyRequest) -> _Joints:
    s = request.span
    if request.chance(0.25):
        return _Joints((4, -4), (0, 3), (-25, -25), (95, 95), s(3, 10), (40, 40))
    return _Joints((s(-6, 6), s(-6, 6)), (2, 4), (s(-12, 14), s(-12, 14)), (s(5, 30), s(5, 60)), s(2, 9), (s(6, 18), s(6, 18)))


def _walking(request: BodyRequest) -> _Joints:
    a, b = request.span(18, 32), request.span(16, 34)
    return _Joints((a, -a * 0.8), (4, request.span(15, 40)), (-b, b), (request.span(10, 30), request.span(15, 45)), 3, (8, 8), 4)


def _running(request: BodyRequest) -> _Joints:
    s = request.span
    return _Joints(
        (s(45, 70), -s(20, 38)), (s(60, 95), s(45, 85)), (-s(35, 55), s(30, 50)), (s(75, 100), s(75, 105)), 3, (10, 10), s(8, 18)
    )


def _sitting(request: BodyRequest) -> _Joints:
    s = request.span
    return _Joints(
        (s(78, 92), s(78, 92)), (s(78, 96), s(70, 96)), (s(10, 35), s(10, 35)), (s(35, 70), s(35, 70)), s(4, 14), (12, 12), s(-8, 6)
    )


def _waving(request: BodyRequest) -> _Joints:
    s = request.span
    return _Joints((2, -2), (0, 2), (s(-8, 8), s(-50, -25)), (s(5, 30), s(20, 70)), s(3, 8), (10, s(105, 145)))


def _riding(request: BodyRequest) -> _Joints:
    s = request.span
    return _Joints(
        (s(50, 72), s(40, 70)), (s(60, 90), s(55, 90)), (s(45, 65), s(45, 65)), (s(10, 35), s(10, 35)), s(10, 20), (12, 12), s(8, 25)
    )


_POSES = {
    "standing": _standing,
    "walking": _walking,
    "running": _running,
    "sitting": _sitting,
    "waving": _waving,
    "riding": _riding,
    "lying": _standing,
}


def _palette(request: BodyRequest, outfit: _Outfit) -> dict[str, Color]:
    rng = request.rng
    base = np.asarray(_SKINS[int(rng.integers(len(_SKINS)))]) + rng.normal(0, 5, 3)
    skin = (float(base[0]) * 0.94, float(base[1]) * 0.94, float(base[2]) * 0.94)
    cloth = main_color(
        request, "red", "blue", "green", "yellow", "white", "black", "gray", "purple", "orange", "pink", "teal", "navy", "maroon", "beige"
    )
    lower = cloth if outfit.top == "dress" else pick(request, "navy", "blue", "black", "gray", "beige", "brown", "maroon", "green", "white")
    return {
        "skin": skin, "blush": darker(skin, 0.12), "top": cloth, "trim": lighter(cloth, 0.5) if sum(cloth) < 420 else darker(cloth, 0.45),
        "bottom": lower, "belt": darker(lower, 0.5), "shoe": pick(request, "black", "brown", "white", "red", "gray", "blue"),
        "hair": pick(request, "black", "brown", "brown", "golden", "gray", "black"),
        "hat": pick(request, "red", "blue", "black", "white", "green", "brown", "yellow"),
        "inner": pick(request, "white", "cream", "gray", "red", "blue"), "eye": (28.0, 24.0, 24.0), "mouth": (150.0, 66.0, 62.0),
    }  # fmt: skip


def _swing(angle: float, out: float, side: int) -> Vector:
    """Unit direction of a limb that hangs down, swings forward by `angle` and stands out by `out` (degrees)."""
    a, o = np.radians(angle), np.radians(out)
    return np.array([side * np.sin(o), -np.cos(a) * np.cos(o), np.sin(a) * np.cos(o)])


def _figure(request: BodyRequest, build: _Build, joints: _Joints, outfit: _Outfit, camera: Camera) -> list[Part]:
    toward = camera.toward()
    lean = np.radians(joints.lean)
    up = np.array([0.0, np.cos(lean), np.sin(lean)])
    pelvis = np.zeros(3)
    chest = pelvis + up * build.torso
    layers: list[_Layer] = [(0.0, _torso(request, build, outfit, camera, pelvis, up))]
    head = chest + up * (build.neck + build.head * 0.5) + np.array([0.0, 0.0, 0.01])
    layers.append((0.012, head_parts(request, build.head, camera, chest, head)))
    for index, side in enumerate((-1, 1)):
        hip = pelvis + np.array((side * (build.hip - build.leg_r * 0.75), 0.0, 0.0))
        thigh = _swing(joints.hip[index], joints.spread, side)
        shin = _swing(joints.hip[index] - joints.knee[index], joints.spread * 0.5, side)
        knee = hip + thigh * build.thigh
        ankle = knee + shin * build.shin
        depth = float(((hip + knee) / 2) @ toward)
        bent_up = joints.hip[index] > 40
        # the clothes' hem hangs over a hanging leg, whichever side is nearer
        layer = depth if bent_up and depth > 0.05 else 0.02 * depth - 0.01
        layers.append((layer, _leg(build, outfit, camera, hip, knee, ankle, joints.hip[index] - joints.knee[index], depth)))
        shoulder = chest + np.array([side * (build.shoulder - build.arm_r * 0.4), -build.arm_r * 1.2, 0.0])
        arm = _swing(joints.shoulder[index] + joints.lean, joints.arm_out[index], side)
        raised = joints.arm_out[index] > 90
        bent = joints.arm_out[index] + joints.elbow[index] if raised else (-joints.arm_out[index] if joints.arm_out[index] > 30 else 4.0)
        fore = _swing(joints.shoulder[index] + (0.0 if raised else joints.elbow[index]), bent, side)
        elbow = shoulder + arm * build.upper_arm
        hand = elbow + fore * build.forearm
        depth = float(((shoulder + elbow + hand) / 3 - chest) @ toward)
        layers.append((depth + 0.03, _arm(build, outfit, camera, shoulder, elbow, hand, depth)))
    if outfit.bottom == "skirt":
        layers.append((0.004, _skirt(request, build, joints, camera, pelvis, outfit)))
    layers.sort(key=lambda layer: layer[0])
    return [part for _, parts in layers for part in parts]


def _girth(camera: Camera, half_width: float, half_depth: float) -> float:
    return float(np.hypot(half_width * np.cos(camera.yaw), half_depth * np.sin(camera.yaw)))


def _torso(request: BodyRequest, build: _Build, outfit: _Outfit, camera: Camera, pelvis: Vector, up: Vector) -> list[Part]:
    levels = np.array([-0.06 if outfit.top != "jacket" else -0.12, 0.06, 0.38, 0.72, 0.90, 1.0])
    wide = (build.hip, build.hip * 0.98, build.waist, build.shoulder * 0.86, build.shoulder * 0.98, build.shoulder * 0.62)
    deep = (0.086, 0.086, 0.076, 0.094, 0.078, 0.05)
    spine = camera.project(pelvis + up * (levels * build.torso)[:, None])
    half = np.array([_girth(camera, w, d * (build.waist / 0.085) ** 0.5) for w, d in zip(wide, deep, strict=True)])[:, None]
    axis = spine[-1] - spine[0]
    axis = axis / np.linalg.norm(axis)
    normal = np.array([axis[1], -axis[0]])
    outline = spline(np.concatenate([spine + normal * half, (spine - normal * half)[::-1]]), samples=4)
    parts = [Part(outline, "top", 0.6, texture="fabric", texture_strength=0.08)]
    facing = float(np.cos(camera.yaw))
    middle = spine[:, :] + normal * float(np.sin(camera.yaw)) * half * 0.75
    if outfit.top == "jacket" and facing > 0.2:
        strip = np.concatenate([middle[[0, 3, 5]] + normal * 0.012, (middle[[0, 3, 5]] - normal * 0.012)[::-1]])
        strip[2] += normal * 0.02
        strip[3] -= normal * 0.02
        parts.append(Part(strip, "inner", 0.2))
    elif outfit.top in ("shirt", "sweater") and request.chance(0.5):
        low, high = sorted(request.rng.uniform(0.15, 0.85, 2))
        high = max(high, low + 0.12)
        points = [np.array([np.interp(v, levels, spine[:, k]) for k in (0, 1)]) for v in (low, high)]
        widths = [np.interp(v, levels, half[:, 0]) * 0.99 for v in (low, high)]
        band = [
            points[0] + normal * widths[0],
            points[1] + normal * widths[1],
            points[1] - normal * widths[1],
            points[0] - normal * widths[0],
        ]
        parts.append(Part(polygon(band), "trim", 0.6))
    if outfit.top != "jacket":
        foot = spine[0] + axis * 0.012
        parts.append(
            Part(
                polygon(
                    [
                        foot + normal * half[0],
                        spine[1] + normal * half[1] * 0.98,
                        spine[1] - normal * half[1] * 0.98,
                        foot - normal * half[0],
                    ]
                ),
                "top" if outfit.top in ("dress", "sweater") else "belt",
                0.4,
            )
        )
    return parts


def _skirt(request: BodyRequest, build: _Build, joints: _Joints, camera: Camera, pelvis: Vector, outfit: _Outfit) -> list[Part]:
    long = build.thigh * request.span(0.85, 1.35)
    waist = camera.project(pelvis + np.array([(0, 0.04, 0), (0, -0.5 * long, 0), (0, -long, 0)]))
    stride = abs(joints.hip[0] - joints.hip[1]) / 400
    flare = request.span(1.25, 1.9)
    halves = [_girth(camera, build.hip * k, 0.075 * k + stride * d) for k, d in ((0.95, 0.0), ((1 + flare) / 2, 0.5), (flare, 1.0))]
    right = np.stack([waist[:, 0] + halves, waist[:, 1]], axis=1)
    left = np.stack([waist[:, 0] - halves, waist[:, 1]], axis=1)
    hem = np.array([(waist[2, 0], waist[2, 1] - 0.015)])
    return [
        Part(
            np.concatenate([right, hem, left[::-1]]),
            "top" if outfit.top == "dress" else "bottom",
            0.7,
            texture="fabric",
            texture_strength=0.1,
        )
    ]


def _tube(camera: Camera, joints: list[Vector], radii: list[float], role: str, shade: float) -> list[Part]:
    """One or two tubes through three joints: a sharp bend is split, for a folded outline would leave a hole."""
    flat = camera.project(np.array(joints))
    first, second = flat[1] - flat[0], flat[2] - flat[1]
    cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-9))
    if cosine > 0.6 and min(np.linalg.norm(first), np.linalg.norm(second)) > radii[1]:
        return [Part(limb(flat, radii), role, 0.6, shade, "fabric", 0.05)]
    return [
        Part(limb(flat[:2], radii[:2]), role, 0.6, shade, "fabric", 0.05),
        Part(limb(flat[1:], radii[1:]), role, 0.6, shade, "fabric", 0.05),
    ]


def _leg(build: _Build, outfit: _Outfit, camera: Camera, hip: Vector, knee: Vector, ankle: Vector, tilt: float, depth: float) -> list[Part]:
    shade = 0.8 if depth < -0.02 else 1.0
    r = build.leg_r
    covered = outfit.bottom == "trousers"
    slim = 1.0 if covered else 0.84
    toe = np.radians(min(tilt, 30.0))
    heel = ankle - (0.0, r * 0.2, 0.02)
    tip = heel + np.array([0.0, np.sin(toe) * 0.09 - 0.012, np.cos(toe) * 0.09])
    parts = [Part(limb(camera.project(np.array([heel, tip])), (r * 0.55, r * 0.46)), "shoe", 0.7, shade, gloss=0.1)]
    parts += _tube(
        camera,
        [hip, knee, ankle],
        [r * slim * 1.05, r * slim * 0.82, r * slim * (0.68 if covered else 0.5)],
        "bottom" if covered else "skin",
        shade,
    )
    if outfit.bottom == "shorts":
        end = hip + (knee - hip) * 0.82
        parts.append(Part(limb(camera.project(np.array([hip, end])), (r * 1.1, r * 1.05), cap=2), "bottom", 0.7, shade))
    return parts


def _arm(build: _Build, outfit: _Outfit, camera: Camera, shoulder: Vector, elbow: Vector, hand: Vector, depth: float) -> list[Part]:
    shade = 0.8 if depth < -0.02 else 0.94
    r = build.arm_r
    reach = hand + (hand - elbow) * (r * 0.9 / build.forearm)
    parts = [Part(limb(camera.project(np.array([hand, reach])), (r * 0.8, r * 0.72)), "skin", 0.8, shade)]
    if outfit.long_sleeves:
        return parts + _tube(camera, [shoulder, elbow, hand], [r * 1.15, r, r * 0.85], "top", shade)
    parts += _tube(camera, [shoulder, elbow, hand], [r, r * 0.85, r * 0.66], "skin", shade)
    end = shoulder + (elbow - shoulder) * 0.7
    parts.append(Part(limb(camera.project(np.array([shoulder, end])), (r * 1.2, r * 1.15), cap=3), "top", 0.5, shade))
    return parts
