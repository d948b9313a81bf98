"""Bird: songbird, duck, gull, pigeon and parrot, perched, walking, swimming or flying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthseg.embedded.scenes.bodies.quadruped import pick_pose, pick_view, place, settle
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import Outline, ellipse, limb, polygon, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part


@dataclass(frozen=True, slots=True)
class _Kind:
    back: Color
    breast: Color
    head: Color
    wing: Color
    beak: Color
    beak_length: float
    beak_shape: str
    body: tuple[float, float]
    """Half-length and half-depth."""
    tilt: float
    """Degrees the breast is raised when perched."""
    head_radius: float
    neck: float
    tail: float
    leg: float
    wingspan: float


_KINDS = {
    "robin": _Kind(
        (112, 96, 76),
        (206, 96, 44),
        (112, 92, 70),
        (92, 76, 60),
        (64, 54, 48),
        0.10,
        "cone",
        (0.34, 0.24),
        28,
        0.155,
        0.10,
        0.30,
        0.22,
        0.55,
    ),
    "bluebird": _Kind(
        (66, 112, 178),
        (226, 214, 186),
        (56, 100, 168),
        (48, 84, 148),
        (48, 46, 50),
        0.10,
        "cone",
        (0.34, 0.23),
        32,
        0.150,
        0.10,
        0.32,
        0.22,
        0.55,
    ),
    "finch": _Kind(
        (196, 176, 58),
        (232, 208, 84),
        (58, 54, 48),
        (60, 56, 54),
        (206, 150, 104),
        0.10,
        "cone",
        (0.32, 0.23),
        30,
        0.155,
        0.10,
        0.30,
        0.20,
        0.52,
    ),
    "duck": _Kind(
        (122, 104, 86),
        (186, 178, 168),
        (36, 98, 66),
        (104, 92, 82),
        (220, 176, 52),
        0.19,
        "flat",
        (0.48, 0.22),
        4,
        0.135,
        0.26,
        0.20,
        0.13,
        0.62,
    ),
    "gull": _Kind(
        (168, 176, 184),
        (240, 238, 234),
        (240, 238, 234),
        (150, 158, 168),
        (228, 176, 48),
        0.17,
        "hook",
        (0.45, 0.19),
        8,
        0.130,
        0.15,
        0.28,
        0.22,
        0.95,
    ),
    "pigeon": _Kind(
        (130, 136, 150),
        (138, 130, 150),
        (84, 92, 116),
        (150, 154, 166),
        (70, 66, 70),
        0.10,
        "cone",
        (0.42, 0.23),
        20,
        0.120,
        0.20,
        0.32,
        0.16,
        0.66,
    ),
    "parrot": _Kind(
        (58, 148, 66),
        (84, 172, 74),
        (196, 48, 44),
        (44, 96, 168),
        (64, 58, 56),
        0.13,
        "parrot",
        (0.30, 0.17),
        56,
        0.135,
        0.08,
        0.42,
        0.12,
        0.55,
    ),
    "crow": _Kind(
        (40, 40, 46), (46, 46, 52), (38, 38, 44), (34, 34, 40), (40, 38, 40), 0.17, "cone", (0.42, 0.21), 18, 0.145, 0.12, 0.38, 0.22, 0.70
    ),
}


def bird(request: BodyRequest) -> Body:
    """A bird about 1 unit long or tall; poses perched, flying, swimming, walking."""
    name = request.choose(*_KINDS)
    pose = pick_pose(request, "perched", "perched", "flying", "swimming", "walking")
    if pose == "swimming":
        name = "duck" if request.chance(0.75) else "gull"
    kind = _KINDS[name]
    view = pick_view(request, "side", "three_quarter", "front", "back")
    palette = _palette(kind, request)
    if pose == "flying":
        airborne = _flying(kind, request) if view == "side" else _soaring(kind, request, view == "back")
        return Body(settle(airborne), palette, "air")
    if view in ("front", "back") and pose != "swimming":
        return Body(settle(_facing(kind, request, view == "back")), palette)
    parts = _perched(kind, request, pose)
    if view == "three_quarter":
        parts = place(parts, (0.0, 0.0), sx=0.82)
    return Body(settle(parts), palette, "water" if pose == "swimming" else "ground")


def _palette(kind: _Kind, request: BodyRequest) -> dict[str, Color]:
    back, breast, head, wing = kind.back, kind.breast, kind.head, kind.wing
    if request.color:
        back = tint(request.color, request.rng)
        breast, head, wing = mix(back, (246, 242, 232), 0.25), mix(back, (20, 18, 20), 0.08), mix(back, (20, 18, 20), 0.22)
    legs: Color = (206, 128, 62) if kind.beak_shape in ("flat", "hook") else (104, 78, 66)
    return {
        "back": back,
        "breast": breast,
        "head": head,
        "wing": wing,
        "quill": mix(wing, (20, 18, 20), 0.45),
        "bar": mix(wing, (246, 244, 240), 0.55),
        "tail": mix(wing, (24, 22, 24), 0.25),
        "beak": kind.beak,
        "leg": legs,
        "eye": (16, 14, 16),
        "glint": (244, 244, 244),
        "ring": (244, 242, 238),
        "collar": (238, 236, 232),
    }


def _beak(kind: _Kind, x: float, y: float, length: float) -> list[Part]:
    if kind.beak_shape == "flat":
        ring = [
            (x, y + 0.035),
            (x + 0.5 * length, y + 0.005),
            (x + length, y + 0.004),
            (x + length, y - 0.03),
            (x + 0.4 * length, y - 0.04),
            (x, y - 0.045),
        ]
        return [
            Part(spline(ring, 3), "beak", 0.5),
            Part(limb([(x, y - 0.010), (x + 0.9 * length, y - 0.014)], [0.004, 0.003], 1), "quill", 0.1),
        ]
    if kind.beak_shape == "parrot":
        ring = [
            (x - 0.03, y + 0.07),
            (x + 0.6 * length, y + 0.05),
            (x + 0.85 * length, y - 0.04),
            (x + 0.60 * length, y - 0.12),
            (x + 0.4 * length, y - 0.05),
            (x - 0.02, y - 0.06),
        ]
        return [Part(spline(ring, 3), "beak", 0.6)]
    if kind.beak_shape == "hook":
        ring = [
            (x, y + 0.03),
            (x + 0.75 * length, y + 0.022),
            (x + length, y - 0.02),
            (x + 0.93 * length, y - 0.035),
            (x + 0.6 * length, y - 0.025),
            (x, y - 0.03),
        ]
        return [
            Part(polygon(ring), "beak", 0.5),
            Part(limb([(x, y - 0.003), (x + 0.85 * length, y - 0.006)], [0.004, 0.003], 1), "quill", 0.1),
        ]
    ring = [(x - 0.01, y + 0.04), (x + length, y - 0.008), (x - 0.01, y - 0.04)]
    return [Part(polygon(ring), "beak", 0.5), Part(limb([(x, y - 0.002), (x + 0.8 * length, y - 0.006)], [0.004, 0.003], 1), "quill", 0.1)]


def _head(kind: _Kind, x: float, y: float, radius: float, length: float) -> list[Part]:
    parts = _beak(kind, x + 0.88 * radius, y - 0.12 * radius, length)
    parts.append(Part(ellipse(x, y, 1.05 * radius, radius, 0.0, 20), "head", 0.6, 1.0, "feather", 0.06))
    if kind.beak_shape == "parrot":
        parts.append(Part(ellipse(x + 0.42 * radius, y + 0.15 * radius, 0.36 * radius, 0.30 * radius, 0.0, 12), "ring", 0.2))
        parts += _beak(kind, x + 0.75 * radius, y + 0.05 * radius, length)
    parts.append(Part(ellipse(x + 0.42 * radius, y + 0.18 * radius, 0.026, 0.026, 0.0, 12), "eye", 0.6))
    parts.append(Part(ellipse(x + 0.42 * radius + 0.008, y + 0.18 * radius + 0.008, 0.008, 0.008, 0.0, 6), "glint", 0.0))
    return parts


def _turned(points: list[tuple[float, float]], angle: float, at: tuple[float, float]) -> list[tuple[float, float]]:
    c, s = np.cos(angle), np.sin(angle)
    return [(float(at[0] + c * x - s * y), float(at[1] + s * x + c * y)) for x, y in points]


def _perched(kind: _Kind, request: BodyRequest, pose: str) -> list[Part]:
    """Side view: on its feet, or afloat with the hull cut off at the water."""
    half = kind.body[0] * request.span(0.92, 1.08)
    deep = kind.body[1] * request.span(0.90, 1.10)
    afloat = pose == "swimming"
    tilt = float(np.radians(2.0 if afloat else kind.tilt + request.span(-6, 8)))
    leg = 0.0 if afloat else kind.leg * request.span(0.85, 1.2)
    radius = kind.head_radius * request.span(0.92, 1.08)
    neck = kind.neck * request.span(0.85, 1.2)
    tail = kind.tail * request.span(0.85, 1.15)
    low = 0.62 * deep if afloat else leg + deep * float(np.cos(tilt)) + 0.25 * half * float(np.sin(tilt))
    at = (0.0, low)

    def on(points: list[tuple[float, float]]) -> Outline:
        return np.array(_turned(points, tilt, at))

    shoulder = _turned([(0.72 * half, 0.42 * deep)], tilt, at)[0]
    reach = (float(np.cos(1.05)), float(np.sin(1.05)))
    head = (shoulder[0] + neck * reach[0] * 0.6, shoulder[1] + neck * reach[1] + 0.35 * radius)
    lowest = low - (half + tail) * float(np.sin(tilt)) - 0.2 * deep * float(np.cos(tilt))
    lift = 0.10 if afloat else max(0.0, 0.03 - lowest) / float(np.cos(tilt))
    parts: list[Part] = []
    fan = [
        (-0.70 * half, 0.25 * deep),
        (-half - tail, 0.12 * deep + lift),
        (-half - 0.97 * tail, -0.20 * deep + lift),
        (-0.65 * half, -0.35 * deep),
    ]
    parts.append(Part(on(fan), "tail", 0.3, 1.0, "feather", 0.15))
    for k in (-0.4, 0.1):
        line = on([(-0.9 * half, 0.5 * k * deep), (-half - 0.95 * tail, (0.3 * k - 0.05) * deep + lift)])
        parts.append(Part(limb(line, [0.004, 0.004], 1), "quill", 0.1))
    if not afloat:
        stride = 0.12 if pose == "walking" else 0.02
        for near, x in ((False, 0.10 + stride), (True, -0.02 - stride)):
            shade = 1.0 if near else 0.7
            hip = _turned([(0.05 * half, -0.70 * deep)], tilt, at)[0]
            knee, foot = (hip[0] + 0.5 * x - 0.03, 0.55 * leg + 0.02), (hip[0] + x, 0.018)
            parts.append(Part(limb([hip, knee], [0.09, 0.03], 3), "breast", 0.6, 0.85 * shade))
            parts.append(Part(limb([knee, foot], [0.018, 0.016], 2), "leg", 0.4, shade))
            for toe in (0.10, 0.06, -0.07):
                parts.append(Part(limb([foot, (foot[0] + toe, 0.010)], [0.015, 0.010], 1), "leg", 0.4, shade))
    # Neck and trunk are one outline, so that no seam shows between them.
    trunk = _turned([(-1.05 * half, 0.10 * deep), (-0.75 * half, 0.62 * deep), (0.0, 0.98 * deep), (0.50 * half, 0.85 * deep)], tilt, at)
    nape = [(head[0] - 0.85 * radius, head[1] - 0.1 * radius), (head[0] + 0.75 * radius, head[1] - 0.55 * radius)]
    under = _turned(
        [
            (1.02 * half, 0.05 * deep),
            (0.80 * half, -0.62 * deep),
            (0.15 * half, -deep),
            (-0.55 * half, -0.72 * deep),
            (-0.95 * half, -0.20 * deep),
        ],
        tilt,
        at,
    )
    hull = spline([*trunk, *nape, *under], 5)
    if afloat:
        hull = np.stack([hull[:, 0], np.maximum(hull[:, 1], 0.0)], axis=1)
    parts.append(Part(hull, "back", 0.6, 1.0, "feather", 0.10))
    belly = _turned(
        [
            (0.70 * half, 0.55 * deep),
            (0.97 * half, 0.10 * deep),
            (0.78 * half, -0.55 * deep),
            (0.15 * half, -0.95 * deep),
            (-0.50 * half, -0.66 * deep),
            (0.10 * half, -0.25 * deep),
            (0.45 * half, 0.10 * deep),
        ],
        tilt,
        at,
    )
    breast = spline(belly, 5)
    if afloat:
        breast = np.stack([breast[:, 0], np.maximum(breast[:, 1], 0.0)], axis=1)
    parts.append(Part(breast, "breast", 0.5, 1.0, "feather", 0.08))
    tip = -1.12 * half
    wing = [
        (0.52 * half, 0.30 * deep),
        (0.25 * half, 0.72 * deep),
        (-0.40 * half, 0.62 * deep),
        (tip, 0.10 * deep),
        (-0.60 * half, -0.28 * deep),
        (0.15 * half, -0.35 * deep),
    ]
    parts.append(Part(spline(on(wing), 5), "wing", 0.5, 1.0, "feather", 0.14))
    for k in range(3):
        y = (0.32 - 0.26 * k) * deep
        line = on([(0.05 * half - 0.03 * k, y), (-0.45 * half, y - 0.02), (-0.92 * half + 0.10 * k, 0.5 * y + 0.02 * deep)])
        parts.append(Part(limb(line, [0.004, 0.008, 0.004], 1), "bar" if k == 0 and kind.beak_shape != "parrot" else "quill", 0.1))
    if kind.beak_shape == "flat":
        stem = [(shoulder[0] - 0.02, shoulder[1] + 0.35 * neck), head]
        parts.append(Part(limb(stem, [0.95 * radius, 0.9 * radius]), "head", 0.5))
        parts.append(
            Part(
                limb([(stem[0][0] - 0.9 * radius, stem[0][1] - 0.05), (stem[0][0] + 0.95 * radius, stem[0][1] - 0.08)], [0.022, 0.022], 2),
                "collar",
                0.2,
            )
        )
    return parts + _head(kind, head[0], head[1], radius, kind.beak_length * request.span(0.85, 1.15))


def _facing(kind: _Kind, request: BodyRequest, back: bool) -> list[Part]:
    """Perched, seen from the front or the back."""
    half = 1.25 * kind.body[1] * request.span(0.90, 1.12)
    deep = (0.40 * kind.body[0] + 0.62 * kind.body[1]) * request.span(0.92, 1.08)
    leg = kind.leg * request.span(0.8, 1.1)
    radius = kind.head_radius * request.span(0.92, 1.08)
    middle = leg + deep
    head = middle + 0.85 * deep + 0.4 * kind.neck + 0.3 * radius
    tip = max(0.02, middle - deep - 0.6 * kind.tail)
    parts = [Part(polygon([(-0.10, middle - 0.5 * deep), (0.10, middle - 0.5 * deep), (0.12, tip), (-0.12, tip)]), "tail", 0.3, 0.8)]
    for s in (-1, 1):
        foot = (s * 0.10, 0.015)
        parts.append(Part(limb([(s * 0.09, middle - 0.8 * deep), foot], [0.022, 0.017], 2), "leg", 0.4))
        parts += [Part(limb([foot, (foot[0] + toe, 0.0)], [0.015, 0.011], 1), "leg", 0.4) for toe in (-0.06, 0.0, 0.06)]
    trunk = [
        (0, middle - deep),
        (0.72 * half, middle - 0.62 * deep),
        (half, middle),
        (0.75 * half, middle + 0.62 * deep),
        (0.55 * radius + 0.02, head - 0.3 * radius),
    ]
    ring = trunk + [(-x, y) for x, y in trunk[:0:-1]]
    parts.append(Part(spline(ring, 5), "back" if back else "breast", 0.6, 1.0, "feather", 0.10))
    for s in (-1, 1):
        if back:
            wing = [
                (s * 0.60 * half, middle + 0.70 * deep),
                (s * 1.05 * half, middle + 0.1 * deep),
                (s * 0.55 * half, middle - 0.75 * deep),
                (s * 0.02, middle - 1.05 * deep),
                (s * 0.12 * half, middle - 0.2 * deep),
            ]
        else:
            wing = [
                (s * 0.72 * half, middle + 0.60 * deep),
                (s * 1.10 * half, middle),
                (s * 0.85 * half, middle - 0.75 * deep),
                (s * 0.72 * half, middle - 0.2 * deep),
            ]
        parts.append(Part(spline(wing, 4), "wing", 0.5, 1.0, "feather", 0.14))
        if back:
            for k in (0.25, -0.10, -0.45):
                line = [(s * 0.80 * half, middle + k * deep), (s * 0.25 * half, middle + (k - 0.35) * deep)]
                parts.append(Part(limb(line, [0.009, 0.005], 1), "bar" if k > 0 else "quill", 0.1))
    return parts + _frontal_head(kind, head, radius, back)


def _frontal_head(kind: _Kind, head: float, radius: float, back: bool) -> list[Part]:
    """Head at height `head` above the origin, seen from the front or the back."""
    parts = [Part(ellipse(0, head, radius, radius, 0.0, 20), "head", 0.6, 1.0, "feather", 0.06)]
    if back:
        return parts
    for s in (-1, 1):
        parts.append(Part(ellipse(s * 0.52 * radius, head + 0.15 * radius, 0.026, 0.028, 0.0, 12), "eye", 0.6))
        parts.append(Part(ellipse(s * 0.52 * radius + 0.008, head + 0.22 * radius, 0.008, 0.008, 0.0, 6), "glint", 0.0))
    wide = 0.06 if kind.beak_shape in ("flat", "parrot") else 0.04
    parts.append(
        Part(
            polygon([(-wide, head - 0.02), (wide, head - 0.02), (0.4 * wide, head - 0.6 * radius), (-0.4 * wide, head - 0.6 * radius)]),
            "beak",
            0.6,
        )
    )
    return parts


def _flying(kind: _Kind, request: BodyRequest) -> list[Part]:
    """Side view on the wing: both wings up, level or down."""
    half = kind.body[0] * request.span(0.92, 1.08)
    deep = 0.80 * kind.body[1] * request.span(0.90, 1.10)
    radius = 0.9 * kind.head_radius
    span = kind.wingspan * request.span(0.9, 1.15)
    beat = float(np.radians(request.span(25, 80) if request.chance(0.65) else request.span(-60, -25)))
    tail = kind.tail * request.span(0.85, 1.15)

    def wing(root: tuple[float, float], beat_angle: float, shade: float) -> list[Part]:
        chord = 0.42 * half + 0.06
        # Along the wing x, from the leading edge (y up) to the feathered trailing edge; then turned up and swept back.
        lead = [(0.0, 0.45 * chord), (0.40 * span, 0.62 * chord), (0.75 * span, 0.42 * chord), (span, -0.10 * chord)]
        fingers = [
            (0.92 * span, -0.45 * chord),
            (0.80 * span, -0.42 * chord),
            (0.72 * span, -0.80 * chord),
            (0.58 * span, -0.70 * chord),
            (0.48 * span, -1.0 * chord),
            (0.30 * span, -0.85 * chord),
            (0.20 * span, -1.05 * chord),
            (0.0, -0.85 * chord),
        ]
        turn = np.pi / 2 + 0.35 if beat_angle > 0 else -np.pi / 2 - 0.35
        flat = np.array(lead + fingers) * (abs(np.sin(beat_angle)) * 0.45 + 0.55, 1.0)
        flip = (1.0, -1.0) if beat_angle > 0 else (1.0, 1.0)
        ring = np.array(_turned([tuple(p) for p in flat * flip], turn, root))
        cover = np.array(_turned([tuple(p) for p in flat[[0, 1, 2, 9, 11]] * (0.85, 0.6) * flip], turn, root))
        parts = [Part(ring, "wing", 0.4, shade, "feather", 0.16), Part(spline(cover, 3), "back", 0.4, shade, "feather", 0.1)]
        for p, q in ((flat[2], flat[5]), (flat[1], flat[7]), (flat[1], flat[9])):
            line = _turned([tuple(0.5 * (p + q) * flip), tuple(q * flip)], turn, root)
            parts.append(Part(limb(line, [0.004, 0.004], 1), "quill", 0.1, shade))
        return parts

    parts = wing((0.22 * half, 0.35 * deep), beat * 0.9, 0.72)
    fan = [
        (-0.70 * half, 0.25 * deep),
        (-half - tail, 0.45 * deep),
        (-half - 0.85 * tail, 0.0),
        (-half - tail, -0.40 * deep),
        (-0.65 * half, -0.30 * deep),
    ]
    parts.append(Part(polygon(fan), "tail", 0.3, 1.0, "feather", 0.15))
    head = (half + 0.45 * kind.neck, 0.30 * deep)
    ring = [
        (-1.05 * half, 0.0),
        (-0.5 * half, 0.62 * deep),
        (0.2 * half, 0.92 * deep),
        (0.7 * half, 0.75 * deep),
        (head[0], head[1] + 0.9 * radius),
    ]
    ring += [(head[0], head[1] - 0.9 * radius), (0.80 * half, -0.55 * deep), (0.2 * half, -0.95 * deep), (-0.5 * half, -0.65 * deep)]
    parts.append(Part(spline(ring, 5), "back", 0.6, 1.0, "feather", 0.1))
    belly = [
        (0.95 * half, 0.0),
        (0.75 * half, -0.52 * deep),
        (0.2 * half, -0.90 * deep),
        (-0.5 * half, -0.60 * deep),
        (-0.9 * half, -0.08 * deep),
        (0.2 * half, -0.15 * deep),
    ]
    parts.append(Part(spline(belly, 4), "breast", 0.5, 1.0, "feather", 0.08))
    if kind.beak_shape in ("flat", "hook"):
        feet = limb([(-0.55 * half, -0.62 * deep), (-half, -0.55 * deep)], [0.022, 0.016], 2)
        parts.append(Part(feet, "leg", 0.4))
    parts += _head(kind, head[0], head[1], radius, kind.beak_length)
    return parts + wing((0.10 * half, 0.10 * deep), beat, 1.0)


def _soaring(kind: _Kind, request: BodyRequest, back: bool) -> list[Part]:
    """On the wing, coming towards the viewer or leaving: both wings spread to the sides."""
    deep = kind.body[1] * request.span(0.90, 1.10)
    span = 0.95 * kind.wingspan * request.span(0.9, 1.15)
    chord = 0.16 + 0.35 * deep
    rise = request.span(0.05, 0.45)
    parts: list[Part] = []
    for s in (-1, 1):
        lead = [(0.0, 0.2), (0.35, 0.50), (0.70, 0.42), (1.0, -0.15)]
        fringe = [(0.92, -0.34), (0.80, -0.36), (0.70, -0.54), (0.58, -0.50), (0.46, -0.66), (0.32, -0.61), (0.18, -0.72), (0.0, -0.60)]
        flat = np.array(lead + fringe)
        wing = np.stack([s * (0.5 * deep + span * flat[:, 0]), chord * flat[:, 1] + rise * span * flat[:, 0]], axis=1)
        parts.append(Part(wing, "wing", 0.4, 0.95, "feather", 0.16))
        parts.append(Part(spline(wing[[0, 1, 2, 9, 11]] * (0.9, 0.8), 3), "back", 0.4, 1.0, "feather", 0.10))
        parts += [Part(limb([0.5 * (wing[p] + wing[q]), wing[q]], [0.004, 0.004], 1), "quill", 0.1) for p, q in ((2, 5), (1, 7), (1, 9))]
    fan = polygon(
        [
            (-0.35 * deep, -0.5 * deep),
            (0.35 * deep, -0.5 * deep),
            (0.6 * deep, -deep - 0.4 * kind.tail),
            (-0.6 * deep, -deep - 0.4 * kind.tail),
        ]
    )
    trunk = Part(ellipse(0, 0, 0.75 * deep, 0.95 * deep), "back" if back else "breast", 0.7, 1.0, "feather", 0.08)
    tail = Part(fan, "tail", 0.3, 1.0, "feather", 0.15)
    head = _frontal_head(kind, 0.75 * deep, 0.85 * kind.head_radius, back)
    return [*parts, *head, trunk, tail] if back else [*parts, tail, trunk, *head]
