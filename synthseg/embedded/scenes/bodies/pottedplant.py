"""Plants in pots: broad leaves, fern, cactus, palm, flowers, snake plant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthseg.embedded.scenes.bodies.choices import darker, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import grounded
from synthseg.embedded.scenes.geometry import Outline, box, ellipse, limb, polygon
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part

Grown = tuple[list[Part], dict[str, Color]]


def pottedplant(request: BodyRequest) -> Body:
    """A pot about 0.35 units high with a plant, 1 unit together; the same from every side. `request.color` colours the pot."""
    pot, palette, rim, half = _pot(request)
    grow: dict[str, Callable[[BodyRequest, float, float], Grown]] = {
        "broad": _broad, "fern": _fern, "cactus": _cactus, "palm": _palm, "flowers": _flowers, "snake": _snake,
    }  # fmt: skip
    kind = request.choose(*grow)
    plant, colors = grow[kind](request, rim, half)
    palette |= colors
    num_behind = 0 if kind == "cactus" else len(plant) // 4
    behind, front = plant[:num_behind], plant[num_behind:]
    return Body(grounded([*behind, *pot, *front]), palette, stand="ground" if request.chance(0.5) else "surface")


def _pot(request: BodyRequest) -> tuple[list[Part], dict[str, Color], float, float]:
    """Parts of the pot, its palette, the height of its soil and half its mouth."""
    kind = request.choose("terracotta", "ceramic", "box")
    high, half = request.span(0.26, 0.38), request.span(0.16, 0.25)
    if kind == "terracotta" and request.color is None:
        shift = request.rng.normal(0, 10)
        color: Color = (186.0 + shift, 98.0 + shift, 62.0 + shift)
    else:
        color = main_color(request, "white", "blue", "gray", "teal", "cream", "black", "yellow", "brown")
    palette = {
        "pot": color,
        "rim": lighter(color, 0.14),
        "soil": (66.0, 46.0, 34.0),
        "band": pick(request, "white", "navy", "golden", "maroon"),
    }
    depth = half * request.span(0.16, 0.28)
    mouth = ellipse(0, high, half, depth)
    soil = ellipse(0, high - 0.006, half * 0.86, depth * 0.78)
    if kind == "box":
        base = half * request.span(0.78, 1.0)
        body = polygon([(-base, 0), (base, 0), (half, high), (-half, high)])
        top = polygon([(-half, high), (half, high), (half * 0.85, high + depth), (-half * 0.85, high + depth)])
        inner = polygon(
            [(-half * 0.88, high + 0.01), (half * 0.88, high + 0.01), (half * 0.76, high + depth * 0.9), (-half * 0.76, high + depth * 0.9)]
        )
        return [Part(top, "rim", 0.1), Part(inner, "soil", 0.2), Part(body, "pot", 0.35)], palette, high, half * 0.8
    base = half * (request.span(0.55, 0.75) if kind == "terracotta" else request.span(0.6, 0.95))
    belly = 1.0 if kind == "terracotta" else request.span(1.0, 1.2)
    y = np.linspace(0, 1, 9)
    r = (base + (half - base) * y) * (1 + (belly - 1) * np.sin(np.pi * y))
    foot = np.array([(x, -depth * 0.45 * np.sqrt(max(1 - (x / base) ** 2, 0.0))) for x in np.linspace(-base, base, 9)])
    sides = np.stack([r, y * high], axis=1)
    body = np.concatenate([foot, sides, (sides * (-1, 1))[::-1]])
    parts = [Part(body, "pot", 0.7, gloss=0.0 if kind == "terracotta" else 0.1)]
    if kind == "terracotta":
        band = request.span(0.05, 0.09)
        collar = np.concatenate([ellipse(0, high - band, half * 1.08, depth)[12:], ellipse(0, high, half * 1.1, depth)[:12]])
        parts.append(Part(collar, "rim", 0.8, 0.95))
        mouth = ellipse(0, high, half * 1.1, depth)
    elif request.chance(0.4):
        parts.append(Part(box(-half * 0.97, high * 0.45, half * 0.97, high * 0.62), "band", 0.5))
    parts += [Part(mouth, "rim", 0.1, 1.08), Part(soil, "soil", 0.2)]
    return parts, palette, high, half * 0.75


def _greens(request: BodyRequest) -> dict[str, Color]:
    base = np.array([52.0, 122.0, 54.0]) + request.rng.normal(0, 16, 3) * (1, 1, 0.7)
    r, g, b = np.clip(base, 10, 200)
    leaf = (float(r), float(max(g, r + 30)), float(min(b, 110)))
    return {"leaf": leaf, "young": lighter(leaf, 0.22), "old": darker(leaf, 0.28), "stem": (96.0, 112.0, 52.0)}


def _leaf(start: tuple[float, float], angle: float, length: float, width: float, droop: float) -> Outline:
    """A pointed leaf from `start`, bending down by `droop` radians towards its tip."""
    t = np.linspace(0, 1, 9)
    heading = angle - np.sign(np.cos(angle)) * droop * t
    step = np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / 8
    spine = np.asarray(start) + np.concatenate([[(0.0, 0.0)], np.cumsum(step[:-1], axis=0)])
    normal = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    half = (width * np.sin(np.pi * np.clip(t, 0.03, 1.0) ** 0.75))[:, None]
    return np.concatenate([spine + normal * half, (spine - normal * half)[::-1]])


def _tone(request: BodyRequest) -> str:
    return request.choose("leaf", "leaf", "young", "old")


def _broad(request: BodyRequest, rim: float, half: float) -> Grown:
    parts: list[Part] = []
    count = int(request.rng.integers(11, 17))
    reach, width = request.span(0.22, 0.36), request.span(0.055, 0.10)
    height = request.span(0.22, 0.42)
    angles = np.linspace(0.1, np.pi - 0.1, count)
    request.rng.shuffle(angles)
    for i, a in enumerate(angles):
        lift = height * request.rng.uniform(0.15, 1.0) * (1 - 0.35 * i / count)
        root = (0.25 * half * float(np.cos(a)), rim + lift)
        stem = [(0.1 * half * np.cos(a), rim), root]
        parts.append(Part(limb(stem, (0.010, 0.008), cap=2), "stem", 0.5))
        parts.append(
            Part(
                _leaf(root, float(a), reach * request.rng.uniform(0.8, 1.1), width, request.span(0.3, 1.1)),
                _tone(request),
                0.7,
                texture="leaf",
                texture_strength=0.12,
            )
        )
    return parts, _greens(request)


def _fern(request: BodyRequest, rim: float, half: float) -> Grown:
    reach = request.span(0.42, 0.60)
    width = request.span(0.032, 0.055)
    parts = []
    angles = np.linspace(0.25, np.pi - 0.25, int(request.rng.integers(13, 19)))
    request.rng.shuffle(angles)
    for a in angles:
        outline = _leaf(
            (half * 0.3 * float(np.cos(a)), rim), float(a), reach * request.rng.uniform(0.75, 1.1), width, request.span(0.8, 2.0)
        )
        n = len(outline)
        jag = np.where(np.arange(n) % 2 == 0, 1.0, 0.5)[:, None]
        spine = (outline + outline[::-1]) / 2
        parts.append(Part(spine + (outline - spine) * (jag * 1.5), _tone(request), 0.5, texture="leaf", texture_strength=0.25))
    return parts, _greens(request)


def _cactus(request: BodyRequest, rim: float, half: float) -> Grown:
    colors = _greens(request)
    colors["flower"] = pick(request, "pink", "red", "yellow")
    high, r = request.span(0.34, 0.60), half * request.span(0.45, 0.7)
    parts: list[Part] = []
    if request.chance(0.7):
        for side in (-1, 1):
            if request.chance(0.85):
                y, out, up = rim + high * request.span(0.3, 0.55), r + request.span(0.09, 0.15), high * request.span(0.2, 0.4)
                w = r * request.span(0.4, 0.55)
                parts.append(
                    Part(
                        limb([(0, y), (side * out * 0.75, y + 0.01), (side * out, y + 0.06), (side * out, y + up)], (w, w, w, w * 0.9)),
                        "leaf",
                        0.9,
                        texture="stripes",
                        texture_strength=0.18,
                    )
                )
    trunk = limb([(0, rim + r * 0.7), (0, rim + high * 0.5), (0, rim + high - r * 0.8)], (r * 0.85, r, r * 0.8), cap=6)
    parts.append(Part(trunk, "leaf", 1.0, texture="stripes", texture_strength=0.22))
    for k in (-0.5, 0.0, 0.5):
        parts.append(
            Part(
                limb(
                    [(k * r, rim + 0.03), (k * r * 1.1, rim + high * 0.5), (k * r * 0.9, rim + high - r * 0.6)],
                    (0.008, 0.009, 0.006),
                    cap=2,
                ),
                "old",
                0.2,
            )
        )
    if request.chance(0.5):
        parts.append(Part(ellipse(0, rim + high, r * 0.5, r * 0.35), "flower", 0.8))
    return parts, colors


def _palm(request: BodyRequest, rim: float, half: float) -> Grown:
    colors = _greens(request)
    colors["trunk"] = (128.0, 96.0, 60.0)
    high, sway = request.span(0.24, 0.42), request.span(-0.06, 0.06)
    top = (sway, rim + high)
    w = half * request.span(0.13, 0.22)
    trunk = Part(limb([(0, rim), (sway * 0.3, rim + high / 2), top], (w * 1.3, w, w)), "trunk", 0.8, texture="wood", texture_strength=0.3)
    reach, width = request.span(0.32, 0.46), request.span(0.030, 0.05)
    fronds = []
    angles = np.linspace(-0.25, np.pi + 0.25, int(request.rng.integers(10, 15)))
    request.rng.shuffle(angles)
    for a in angles:
        fronds.append(
            Part(
                _leaf(top, float(a), reach * request.rng.uniform(0.85, 1.1), width, request.span(0.7, 1.5)),
                _tone(request),
                0.5,
                texture="leaf",
                texture_strength=0.2,
            )
        )
    third = len(fronds) // 3
    return [*fronds[:third], trunk, *fronds[third:]], colors


def _flowers(request: BodyRequest, rim: float, half: float) -> Grown:
    colors = _greens(request)
    colors["petal"] = pick(request, "red", "pink", "yellow", "white", "purple", "orange")
    colors["heart"] = pick(request, "yellow", "brown", "golden")
    parts = []
    for a in np.linspace(0.15, np.pi - 0.15, 10):
        parts.append(Part(_leaf((0.3 * half * float(np.cos(a)), rim), float(a), request.span(0.18, 0.30), 0.045, 0.7), _tone(request), 0.6))
    count, size = int(request.rng.integers(4, 7)), request.span(0.055, 0.085)
    heads = []
    for i in range(count):
        a = np.pi * (0.22 + 0.56 * (i + request.rng.uniform(0.2, 0.8)) / count)
        length = request.span(0.30, 0.55)
        x, y = length * float(np.cos(a)), rim + length * float(np.sin(a))
        parts.append(
            Part(limb([(0.2 * half * np.cos(a), rim), (x * 0.6, rim + (y - rim) * 0.6), (x, y)], (0.010, 0.009, 0.008), cap=2), "stem", 0.4)
        )
        turn = np.linspace(0, 2 * np.pi, 30, endpoint=False)
        r = size * (0.78 + 0.22 * np.cos(5 * turn))
        heads.append(Part(np.stack([x + r * np.cos(turn), y + r * np.sin(turn)], axis=1), "petal", 0.5))
        heads.append(Part(ellipse(x, y, size * 0.32, size * 0.32, samples=10), "heart", 0.6))
    return parts + heads, colors


def _snake(request: BodyRequest, rim: float, half: float) -> Grown:
    colors = _greens(request)
    colors["edge"] = lighter(pick(request, "yellow", "golden", "cream"), 0.1)
    parts = []
    high, width = request.span(0.45, 0.65), request.span(0.026, 0.042)
    for i, x in enumerate(request.rng.permutation(np.linspace(-0.85, 0.85, 9)) * half):
        length = high * request.rng.uniform(0.6, 1.05)
        a = np.pi / 2 - 0.5 * float(x) / half * request.rng.uniform(0.3, 1.0)
        outer = _leaf((float(x), rim - 0.01), float(a), length, width, 0.08)
        parts.append(Part(outer, "edge", 0.4))
        parts.append(
            Part(
                _leaf((float(x), rim - 0.01), float(a), length * 0.97, width * 0.66, 0.08),
                "leaf" if i % 2 else "old",
                0.5,
                texture="leaf",
                texture_strength=0.3,
            )
        )
    return parts, colors
