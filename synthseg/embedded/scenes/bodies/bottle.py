"""Bottles: wine, beer, water, milk and sauce, standing on a surface."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.choices import darker, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import grounded
from synthseg.embedded.scenes.geometry import Outline, box, ellipse, polygon, rotate
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part

Profile = list[tuple[float, float]]
"""(height, radius) from the base to the mouth."""

_GLASS: dict[str, Color] = {
    "green": (44, 92, 52), "olive": (88, 104, 44), "brown": (98, 54, 24), "clear": (190, 212, 214), "blue": (92, 150, 206),
}  # fmt: skip


def bottle(request: BodyRequest) -> Body:
    """A bottle about 1 unit high; it looks the same from every side. Pose 'lying' lays it down."""
    kind = request.choose("wine", "beer", "water", "milk", "sauce")
    profile, neck = _PROFILES[kind](request)
    top = profile[-1][0]
    body = max(r for _, r in profile)
    palette = {
        "glass": _glass(request, kind),
        "label": lighter(pick(request, "white", "cream", "yellow", "red", "blue", "green", "orange"), 0.1),
        "print": pick(request, "red", "navy", "black", "golden", "maroon"),
        "cap": pick(
            request,
            *{"wine": ("maroon", "black", "golden"), "beer": ("golden", "silver", "red")}.get(kind, ("white", "blue", "red", "green")),
        ),
    }
    palette["edge"] = darker(palette["glass"], 0.42)
    palette["shine"] = lighter(palette["glass"], 0.62)
    parts = [Part(_turned(profile, 1.0), "edge", 0.3), Part(_turned(profile, 0.86), "glass", 0.35, gloss=0.1)]
    low, high = neck
    level = 0.0
    if kind in ("water", "milk", "sauce") and request.color is None and request.chance(0.7):
        level = request.span(0.45, 0.9) * top
        parts.append(_liquid(request, palette, profile, kind, level))
    parts.append(Part(_streak(profile, 0.74, 0.24, 0.03 * top, low), parts[-1].role if level > low else "glass", 0.1, 0.74))
    parts.append(Part(_streak(profile, -0.62, 0.16, 0.08 * top, 0.93 * top), "shine", 0.0, 1.0))
    if request.chance(0.85):
        y0 = low * request.span(0.18, 0.38)
        y1 = min(y0 + low * request.span(0.35, 0.6), low * 0.95)
        parts += _label(request, body, y0, y1)
    parts += _cap(request, kind, profile, high, top)
    if request.pose == "lying":
        for part in parts:
            part.outline = rotate(part.outline, -np.pi / 2)
    return Body(grounded(parts), palette, stand="surface")


def _glass(request: BodyRequest, kind: str) -> Color:
    if request.color is not None:
        return main_color(request)
    usual = {"wine": ("green", "green", "olive", "brown", "clear"), "beer": ("brown", "brown", "green"), "water": ("clear", "blue")}
    base = np.asarray(_GLASS[request.choose(*usual.get(kind, ("clear",)))]) + request.rng.normal(0, 8, 3)
    r, g, b = np.clip(base, 6, 248)
    return float(r), float(g), float(b)


def _wine(request: BodyRequest) -> tuple[Profile, tuple[float, float]]:
    r, shoulder, neck = request.span(0.12, 0.16), request.span(0.56, 0.68), request.span(0.042, 0.055)
    rise = request.span(0.06, 0.20)
    return [(0, r * 0.9), (0.02, r), (shoulder, r), (shoulder + rise * 0.5, r * 0.75), (shoulder + rise, neck), (0.96, neck),
            (0.965, neck * 1.2), (1.0, neck * 1.2)], (shoulder, 0.80)  # fmt: skip


def _beer(request: BodyRequest) -> tuple[Profile, tuple[float, float]]:
    r, shoulder, neck = request.span(0.12, 0.155), request.span(0.48, 0.60), request.span(0.045, 0.06)
    top = request.span(0.82, 0.95)
    return [(0, r * 0.9), (0.02, r), (shoulder, r), (shoulder + 0.08, r * 0.82), (shoulder + 0.2, neck * 1.2), (top - 0.02, neck),
            (top, neck)], (shoulder, top - 0.035)  # fmt: skip


def _water(request: BodyRequest) -> tuple[Profile, tuple[float, float]]:
    r, shoulder, neck = request.span(0.13, 0.18), request.span(0.60, 0.70), request.span(0.05, 0.07)
    pinch = request.span(0.86, 1.0)
    return [(0, r * 0.88), (0.03, r), (0.2, r), (0.26, r * pinch), (0.34, r), (shoulder, r), (shoulder + 0.1, r * 0.8),
            (shoulder + 0.19, neck), (0.93, neck)], (shoulder, 0.87)  # fmt: skip


def _milk(request: BodyRequest) -> tuple[Profile, tuple[float, float]]:
    r, shoulder, neck = request.span(0.16, 0.21), request.span(0.46, 0.56), request.span(0.085, 0.11)
    return [(0, r * 0.92), (0.03, r), (shoulder, r), (shoulder + 0.1, r * 0.85), (shoulder + 0.2, neck), (0.84, neck),
            (0.86, neck * 1.15), (0.9, neck * 1.15)], (shoulder, 0.84)  # fmt: skip


def _sauce(request: BodyRequest) -> tuple[Profile, tuple[float, float]]:
    r, shoulder, neck = request.span(0.13, 0.17), request.span(0.42, 0.52), request.span(0.045, 0.065)
    return [(0, r), (shoulder * 0.5, r * request.span(0.86, 1.0)), (shoulder, r), (shoulder + 0.08, r * 0.85), (0.76, neck),
            (0.90, neck)], (shoulder, 0.76)  # fmt: skip


_PROFILES = {"wine": _wine, "beer": _beer, "water": _water, "milk": _milk, "sauce": _sauce}


def _turned(profile: Profile, share: float) -> Outline:
    p = np.asarray(profile)
    inner = p[:, 1] - (1 - share) * 0.10
    right = np.stack([inner, p[:, 0]], axis=1)
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def _streak(profile: Profile, side: float, width: float, low: float, high: float) -> Outline:
    """A vertical light along the flank, at `side` (-1..1) of the radius."""
    p = np.asarray(profile)
    y = np.linspace(low, high, 16)
    r = np.interp(y, p[:, 0], p[:, 1])
    left = np.stack([r * (side - width / 2), y], axis=1)
    right = np.stack([r * (side + width / 2), y], axis=1)
    return np.concatenate([right, left[::-1]])


def _liquid(request: BodyRequest, palette: dict[str, Color], profile: Profile, kind: str, level: float) -> Part:
    fills = {
        "water": ("blue", "teal", "orange", "yellow"),
        "milk": ("white", "cream", "pink"),
        "sauce": ("red", "yellow", "brown", "maroon"),
    }
    color = pick(request, *fills[kind])
    palette["liquid"] = lighter(color, 0.45) if kind == "water" else color
    p = np.asarray(profile)
    y = np.linspace(0.015, level, 24)
    r = np.interp(y, p[:, 0], p[:, 1]) - 0.016
    side = np.stack([r, y], axis=1)
    return Part(np.concatenate([side, (side * (-1, 1))[::-1]]), "liquid", 0.3)


def _label(request: BodyRequest, radius: float, y0: float, y1: float) -> list[Part]:
    r, sag = radius * 0.985, radius * 0.10
    x = np.linspace(-r, r, 9)
    dip = -sag * np.sqrt(np.maximum(1 - (x / r) ** 2, 0))
    outline = np.concatenate([np.stack([x, y0 + dip], axis=1), np.stack([x, y1 + dip], axis=1)[::-1]])
    parts = [Part(outline, "label", 0.2)]
    middle, tall = (y0 + y1) / 2 - sag, y1 - y0
    mark = request.choose("band", "disc", "lines")
    if mark == "band":
        parts.append(Part(box(-r, middle - tall * 0.16, r, middle + tall * 0.16), "print", 0.1))
    elif mark == "disc":
        size = min(r * 0.55, tall * 0.32)
        parts.append(Part(ellipse(0, middle, size, size), "print", 0.1))
    else:
        for k, wide in ((0.22, 0.62), (0.0, 0.75), (-0.2, 0.5)):
            parts.append(Part(box(-r * wide, middle + tall * (k - 0.05), r * wide, middle + tall * (k + 0.05)), "print", 0.0))
    parts.append(Part(box(r * 0.62, y0 - sag * 0.6, r * 0.99, y1 - sag * 0.6), "label", 0.1, 0.72))
    return parts


def _cap(request: BodyRequest, kind: str, profile: Profile, low: float, top: float) -> list[Part]:
    neck = profile[-1][1]
    if kind == "wine":
        return [Part(box(-neck * 1.06, low, neck * 1.06, top + 0.005, 0.01), "cap", 0.7, gloss=0.2)]
    if kind == "beer":
        return [Part(box(-neck * 1.3, low, neck * 1.3, top + 0.015, 0.012), "cap", 0.6, gloss=0.4)]
    if kind == "sauce" and request.chance(0.5):
        tip = polygon(
            [
                (-neck * 1.15, low),
                (neck * 1.15, low),
                (neck * 0.9, top - 0.04),
                (neck * 0.3, top + 0.08),
                (-neck * 0.3, top + 0.08),
                (-neck * 0.9, top - 0.04),
            ]
        )
        return [Part(tip, "cap", 0.7, gloss=0.2)]
    return [
        Part(box(-neck * 1.2, low, neck * 1.2, top + 0.01, 0.015), "cap", 0.7, gloss=0.25),
        Part(box(-neck * 1.3, low - 0.015, neck * 1.3, low + 0.008), "cap", 0.4, 0.8),
    ]
