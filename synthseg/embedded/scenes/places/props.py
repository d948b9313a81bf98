"""Clutter: everything in a scene that is none of the classes. One builder a prop, about 1 unit high, feet at y = 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthseg.embedded.scenes.colors import mix
from synthseg.embedded.scenes.geometry import box, ellipse, limb, polygon, spline
from synthseg.embedded.scenes.palettes import pick
from synthseg.embedded.scenes.parts import Body, Color, Part, Texture
from synthseg.embedded.scenes.worlds import Look

Rng = np.random.Generator
PropBuilder = Callable[[Rng, Look], Body]

GLASS: Color = (150, 186, 206)
DARK: Color = (44, 42, 44)


def _foliage(rng: Rng, parts: list[Part], cx: float, cy: float, rx: float, ry: float, count: int, blob: float) -> None:
    """Leaf clusters that fill an ellipse, darker below and behind."""
    spots = rng.uniform(-1, 1, (count, 2))
    spots /= np.maximum(1.0, np.linalg.norm(spots, axis=1, keepdims=True))
    for u, v in sorted(spots.tolist(), key=lambda p: -p[1]):
        size = blob * float(rng.uniform(0.7, 1.25))
        ring = ellipse(cx + u * rx, cy + v * ry, size, size * 0.85, samples=14)
        ring += rng.normal(0, size * 0.10, ring.shape)
        shade = 0.86 + 0.16 * v + float(rng.uniform(-0.06, 0.06))
        parts.append(Part(spline(ring, 3), "leaf", bulge=0.7, shade=shade, texture="leaf", texture_strength=0.22))


def tree(rng: Rng, look: Look) -> Body:
    """A broad-leaved tree."""
    lean = float(rng.normal(0, 0.04))
    parts = [Part(limb([(0, 0), (lean, 0.3), (lean * 2, 0.6)], [0.055, 0.04, 0.025]), "trunk", texture="wood", texture_strength=0.2)]
    for side in (-1, 1):
        parts.append(Part(limb([(lean, 0.3), (lean + side * 0.16, 0.52)], [0.022, 0.014]), "trunk", shade=0.9))
    _foliage(rng, parts, lean * 2, 0.68, float(rng.uniform(0.24, 0.36)), 0.24, 20, 0.13)
    leaf = pick(look, "autumn" if rng.random() < 0.2 else "leaf", rng, 0.55)
    return Body(parts, {"trunk": pick(look, "trunk", rng), "leaf": leaf})


def pine(rng: Rng, look: Look) -> Body:
    """A conifer in tiers."""
    parts = [Part(limb([(0, 0), (0, 0.3)], [0.035, 0.03]), "trunk")]
    tiers = int(rng.integers(4, 7))
    for i in range(tiers):
        y = 0.14 + 0.80 * i / tiers
        w = 0.30 * (1 - i / (tiers + 0.6)) * float(rng.uniform(0.9, 1.1))
        top = y + 0.36
        zig = [(-w + 2 * w * k / 8, y + (0.03 if k % 2 else -0.02)) for k in range(9)]
        parts.append(Part(polygon([*zig, (0.02, top), (-0.02, top)]), "leaf", shade=0.82 + 0.05 * i, texture="leaf", texture_strength=0.3))
    return Body(parts, {"trunk": pick(look, "trunk", rng), "leaf": pick(look, "leaf", rng, 0.2)})


def palm(rng: Rng, look: Look) -> Body:
    """A palm tree."""
    lean = float(rng.uniform(-0.18, 0.18))
    parts = [Part(limb([(0, 0), (lean * 0.4, 0.4), (lean, 0.8)], [0.04, 0.03, 0.025]), "trunk", texture="stripes", texture_strength=0.1)]
    for angle in np.linspace(0.0, 2 * np.pi, 10, endpoint=False):
        c, s = float(np.cos(angle)), float(np.sin(angle)) * 0.5
        mid, end = (lean + 0.18 * c, 0.86 + 0.14 * s), (lean + 0.36 * c, 0.76 + 0.22 * s)
        parts.append(
            Part(
                limb([(lean, 0.81), mid, end], [0.012, 0.04, 0.006]),
                "leaf",
                shade=0.85 + 0.25 * s,
                texture="feather",
                texture_strength=0.25,
            )
        )
    return Body(parts, {"trunk": pick(look, "trunk", rng), "leaf": pick(look, "leaf", rng, 0.5)})


def bush(rng: Rng, look: Look) -> Body:
    """A low bush."""
    parts: list[Part] = []
    _foliage(rng, parts, 0, 0.24, float(rng.uniform(0.34, 0.5)), 0.16, 16, 0.14)
    return Body(parts, {"leaf": pick(look, "leaf", rng, float(rng.uniform(0.2, 0.7)))})


def flowers(rng: Rng, look: Look) -> Body:
    """A patch of blossoms among leaves."""
    parts: list[Part] = []
    _foliage(rng, parts, 0, 0.14, 0.44, 0.09, 12, 0.11)
    for x, y in rng.uniform((-0.46, 0.1), (0.46, 0.32), (22, 2)).tolist():
        parts.append(Part(ellipse(x, y, 0.026, 0.024, samples=8), "bloom", bulge=0.3))
    return Body(parts, {"leaf": pick(look, "leaf", rng, 0.4), "bloom": pick(look, "paint", rng, 0.9)})


def grass_tuft(rng: Rng, look: Look) -> Body:
    """Long blades of grass."""
    parts = []
    for x in rng.uniform(-0.45, 0.45, 26).tolist():
        tall, lean = float(rng.uniform(0.3, 0.8)), float(rng.normal(0, 0.14))
        blade = polygon([(x - 0.018, 0), (x + 0.018, 0), (x + lean, tall)])
        parts.append(Part(blade, "leaf", bulge=0.3, shade=float(rng.uniform(0.75, 1.15))))
    return Body(parts, {"leaf": pick(look, "grass", rng, 0.5)})


def reeds(rng: Rng, look: Look) -> Body:
    """Reeds at the water's edge."""
    parts = []
    for x in rng.uniform(-0.35, 0.35, 18).tolist():
        tall, lean = float(rng.uniform(0.5, 1.0)), float(rng.normal(0, 0.08))
        parts.append(Part(limb([(x, 0), (x + lean, tall)], [0.012, 0.007], cap=1), "leaf", bulge=0.3, shade=float(rng.uniform(0.75, 1.1))))
        if rng.random() < 0.4:
            parts.append(Part(limb([(x + lean, tall - 0.04), (x + lean, tall + 0.08)], [0.02, 0.02], cap=2), "head"))
    return Body(parts, {"leaf": pick(look, "dry grass", rng, 0.3), "head": pick(look, "trunk", rng, 0.3)})


def rock(rng: Rng, look: Look) -> Body:
    """A boulder."""
    t = np.linspace(0, np.pi, 9)
    radius = rng.uniform(0.8, 1.1, 9)
    top = np.stack([0.5 * np.cos(t) * radius, 0.44 * np.sin(t) * radius], axis=1)
    parts = [Part(polygon(np.concatenate([top, [(-0.5, -0.02), (0.5, -0.02)]])), "rock", bulge=0.9, texture="fabric", texture_strength=0.2)]
    x = float(rng.uniform(-0.2, 0.2))
    parts.append(
        Part(
            polygon([(x - 0.22, 0.1), (x, 0.36), (x + 0.16, 0.3), (x + 0.12, 0.06)]),
            "rock",
            shade=1.1,
            bulge=0.7,
            texture="fabric",
            texture_strength=0.2,
        )
    )
    return Body(parts, {"rock": pick(look, "rock", rng)})


def cactus(rng: Rng, look: Look) -> Body:
    """A columnar cactus."""
    style: dict[str, float] = {"texture_strength": 0.14}
    parts = [Part(limb([(0, 0), (0, 0.88)], [0.085, 0.08]), "leaf", texture="stripes", **style)]
    for side in (-1, 1):
        if rng.random() < 0.8:
            y = float(rng.uniform(0.28, 0.5))
            arm = [(side * 0.05, y), (side * 0.22, y + 0.02), (side * 0.24, y + 0.26)]
            parts.append(Part(limb(arm, [0.05, 0.055, 0.05]), "leaf", shade=0.95, texture="stripes", **style))
    return Body(parts, {"leaf": pick(look, "leaf", rng, 0.5)})


def fence(rng: Rng, look: Look) -> Body:
    """A length of wooden fence."""
    parts = [Part(box(-1.0, y, 1.0, y + 0.07), "wood", bulge=0.2, shade=0.92, texture="wood", texture_strength=0.15) for y in (0.18, 0.42)]
    if rng.random() < 0.5:
        posts = np.linspace(-0.96, 0.96, 15)
        for x in posts.tolist():
            picket = polygon([(x - 0.045, 0), (x + 0.045, 0), (x + 0.045, 0.58), (x, 0.66), (x - 0.045, 0.58)])
            parts.append(Part(picket, "wood", bulge=0.3, texture="wood", texture_strength=0.12))
    else:
        for x in (-0.9, -0.3, 0.3, 0.9):
            parts.append(Part(box(x - 0.045, 0, x + 0.045, 0.6, 0.01), "wood", bulge=0.4, texture="wood", texture_strength=0.15))
    return Body(parts, {"wood": pick(look, "wood" if rng.random() < 0.7 else "paint", rng)})


def _windows(parts: list[Part], x0: float, y0: float, x1: float, y1: float, columns: int, rows: int) -> None:
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / rows
    for i in range(columns):
        for j in range(rows):
            x, y = x0 + (i + 0.5) * step_x, y0 + (j + 0.5) * step_y
            w, h = step_x * 0.28, step_y * 0.32
            parts.append(Part(box(x - w * 1.2, y - h * 1.12, x + w * 1.2, y + h * 1.12), "frame", bulge=0.1))
            parts.append(Part(box(x - w, y - h, x + w, y + h), "glass", bulge=0.1, gloss=0.2))


def house(rng: Rng, look: Look) -> Body:
    """A small house with a pitched roof."""
    w, h = float(rng.uniform(0.45, 0.7)), float(rng.uniform(0.42, 0.55))
    siding: Texture = "wood" if rng.random() < 0.4 else "fabric"
    parts = [Part(box(-w, 0, w, h), "wall", bulge=0.1, texture=siding, texture_strength=0.08)]
    parts.append(Part(box(w * 0.4, h + 0.1, w * 0.56, h + 0.44), "roof", shade=0.8, bulge=0.2))
    parts.append(
        Part(
            polygon([(-w - 0.06, h - 0.02), (w + 0.06, h - 0.02), (w * 0.72, 0.96), (-w * 0.72, 0.96)]),
            "roof",
            bulge=0.15,
            texture="wood",
            texture_strength=0.2,
        )
    )
    _windows(parts, -w * 0.95, h * 0.32, w * 0.95, h * 0.95, 3, 1)
    parts.append(Part(box(-0.07, 0, 0.07, h * 0.6), "door", bulge=0.2))
    palette = {
        "wall": pick(look, "facade", rng, 0.7),
        "roof": pick(look, "roof", rng),
        "frame": pick(look, "plaster", rng, 0.9),
        "glass": (92, 118, 138),
        "door": pick(look, "wood", rng, 0.3),
    }
    return Body(parts, palette)  # fmt: skip


def barn(rng: Rng, look: Look) -> Body:
    """A farm barn with a broken roof line."""
    w = float(rng.uniform(0.6, 0.85))
    front = polygon([(-w, 0), (w, 0), (w, 0.5), (w * 0.66, 0.78), (0, 0.95), (-w * 0.66, 0.78), (-w, 0.5)])
    parts = [Part(limb([(-w - 0.04, 0.48), (-w * 0.68, 0.8), (0, 0.98), (w * 0.68, 0.8), (w + 0.04, 0.48)], [0.05] * 5), "roof", bulge=0.3)]
    parts.append(Part(front, "wall", bulge=0.1, texture="stripes", texture_strength=0.08))
    parts.append(Part(box(-0.24, 0, 0.24, 0.46), "trim", bulge=0.1))
    parts.append(Part(box(-0.21, 0, 0.21, 0.43), "wall", shade=0.7, bulge=0.1))
    parts.append(Part(limb([(-0.2, 0.01), (0.2, 0.42)], [0.018, 0.018]), "trim", bulge=0.1))
    parts.append(Part(limb([(0.2, 0.01), (-0.2, 0.42)], [0.018, 0.018]), "trim", bulge=0.1))
    parts.append(Part(box(-0.09, 0.6, 0.09, 0.74), "trim", bulge=0.1))
    wall = (158, 56, 46) if rng.random() < 0.6 else pick(look, "wood", rng, 0.4)
    return Body(parts, {"wall": wall, "roof": pick(look, "roof", rng, 0.4), "trim": pick(look, "plaster", rng, 0.9)})


def block(rng: Rng, look: Look) -> Body:
    """A town house of several floors with shop windows."""
    w, floors = float(rng.uniform(0.24, 0.42)), int(rng.integers(3, 6))
    parts = [Part(box(-w, 0, w, 1.0), "wall", bulge=0.08, texture="fabric", texture_strength=0.07)]
    parts.append(Part(box(-w - 0.02, 0.96, w + 0.02, 1.0), "trim", bulge=0.4))
    _windows(parts, -w * 0.94, 0.24, w * 0.94, 0.95, int(rng.integers(3, 5)), floors - 1)
    parts.append(Part(box(-w * 0.92, 0.02, w * 0.92, 0.17), "glass", shade=0.7, bulge=0.1, gloss=0.2))
    parts.append(
        Part(
            polygon([(-w * 0.96, 0.15), (w * 0.96, 0.15), (w * 0.9, 0.215), (-w * 0.9, 0.215)]),
            "awning",
            bulge=0.2,
            texture="stripes",
            texture_strength=0.15,
        )
    )
    parts.append(Part(box(-0.035, 0.0, 0.035, 0.15), "door", bulge=0.2))
    material = "brick" if rng.random() < 0.3 else "facade"
    palette = {
        "wall": pick(look, material, rng, 0.6),
        "trim": pick(look, "plaster", rng, 0.7),
        "frame": pick(look, "plaster", rng, 0.9),
        "glass": (84, 104, 124),
        "awning": pick(look, "paint", rng, 0.5),
        "door": pick(look, "wood", rng, 0.2),
    }
    return Body(parts, palette)  # fmt: skip


def tower(rng: Rng, look: Look) -> Body:
    """A tall office building of glass."""
    w = float(rng.uniform(0.13, 0.22))
    parts = [Part(box(-w, 0, w, 1.0), "wall", bulge=0.06)]
    columns, rows = int(rng.integers(4, 7)), int(rng.integers(10, 16))
    for i in range(columns):
        for j in range(rows):
            x, y = -w * 0.9 + 1.8 * w * i / columns, 0.03 + 0.95 * j / rows
            shade = 1.25 if rng.random() < 0.25 else 0.9
            parts.append(Part(box(x + 0.006, y, x + 1.8 * w / columns - 0.006, y + 0.68 * 0.95 / rows), "glass", shade=shade, bulge=0.05))
    return Body(parts, {"wall": pick(look, "facade", rng, 0.4), "glass": (104, 132, 156)})


def street_lamp(rng: Rng, look: Look) -> Body:
    """A lamp post."""
    parts = [Part(limb([(0, 0), (0, 0.9)], [0.018, 0.012]), "steel", gloss=0.1)]
    if rng.random() < 0.5:
        parts.append(Part(limb([(0, 0.88), (0.05, 0.97), (0.2, 0.98)], [0.012, 0.012, 0.01]), "steel"))
        parts.append(Part(box(0.13, 0.94, 0.25, 0.97, 0.01), "lamp", bulge=0.2))
    else:
        parts.append(Part(ellipse(0, 0.95, 0.05, 0.06), "lamp", gloss=0.3))
    parts.append(Part(box(-0.035, 0, 0.035, 0.06), "steel", shade=0.8))
    return Body(parts, {"steel": pick(look, "steel", rng, 0.1), "lamp": (246, 232, 190)})


def sign(rng: Rng, look: Look) -> Body:
    """A road sign on a pole."""
    parts = [Part(box(-0.018, 0, 0.018, 0.8), "steel", bulge=0.5)]
    shape = int(rng.integers(3))
    plates = (ellipse(0, 0.85, 0.14, 0.14), polygon([(-0.16, 0.72), (0.16, 0.72), (0, 1.0)]), box(-0.14, 0.7, 0.14, 1.0, 0.02))
    inner = (ellipse(0, 0.85, 0.10, 0.10), polygon([(-0.10, 0.755), (0.10, 0.755), (0, 0.93)]), box(-0.12, 0.72, 0.12, 0.98, 0.02))
    parts += [Part(plates[shape], "rim", bulge=0.1), Part(inner[shape], "plate", bulge=0.1)]
    parts.append(Part(box(-0.05, 0.80, 0.05, 0.84), "mark", bulge=0.1))
    rim = ((196, 46, 40), (48, 88, 170), (214, 170, 50))[int(rng.integers(3))]
    return Body(parts, {"steel": pick(look, "steel", rng), "rim": rim, "plate": (238, 238, 232), "mark": DARK})


def traffic_light(rng: Rng, look: Look) -> Body:
    """A traffic light."""
    parts = [Part(box(-0.02, 0, 0.02, 0.7), "steel", bulge=0.5), Part(box(-0.075, 0.66, 0.075, 1.0, 0.03), "case", bulge=0.3)]
    lit = int(rng.integers(3))
    for i, role in enumerate(("go", "wait", "stop")):
        parts.append(Part(ellipse(0, 0.72 + 0.11 * i, 0.042, 0.042), role, shade=1.0 if i == lit else 0.4))
    return Body(
        parts, {"steel": pick(look, "steel", rng, 0.2), "case": DARK, "go": (70, 210, 110), "wait": (250, 190, 60), "stop": (230, 60, 50)}
    )


def bin_(rng: Rng, look: Look) -> Body:
    """A litter bin."""
    parts = [Part(polygon([(-0.2, 0), (0.2, 0), (0.25, 0.7), (-0.25, 0.7)]), "paint", bulge=0.8, texture="metal", texture_strength=0.1)]
    parts.append(Part(box(-0.28, 0.68, 0.28, 0.78, 0.04), "paint", shade=0.8))
    return Body(parts, {"paint": pick(look, "leaf" if rng.random() < 0.5 else "steel", rng, 0.2)})


def crate(rng: Rng, look: Look) -> Body:
    """A wooden crate."""
    parts = [Part(box(-0.4, 0, 0.4, 0.6), "wood", shade=0.75, bulge=0.1)]
    for y in (0.0, 0.155, 0.31, 0.465):
        parts.append(Part(box(-0.4, y, 0.4, y + 0.135), "wood", bulge=0.15, texture="wood", texture_strength=0.2))
    for x in (-0.4, 0.32):
        parts.append(Part(box(x, 0, x + 0.08, 0.6), "wood", shade=1.08, bulge=0.15))
    return Body(parts, {"wood": pick(look, "wood", rng, 0.6)})


def hay(rng: Rng, look: Look) -> Body:
    """A bale of hay, round or square."""
    if rng.random() < 0.6:
        parts = [Part(ellipse(0, 0.42, 0.46, 0.43), "straw", bulge=0.5, texture="fabric", texture_strength=0.3)]
        for r in (0.33, 0.22, 0.11):
            parts.append(
                Part(ellipse(0.02, 0.42, r, r * 0.95), "straw", shade=0.86 + r * 0.4, bulge=0.3, texture="fabric", texture_strength=0.3)
            )
    else:
        parts = [Part(box(-0.55, 0, 0.55, 0.5, 0.04), "straw", bulge=0.4, texture="wood", texture_strength=0.3)]
        parts += [Part(box(x, 0, x + 0.03, 0.5), "straw", shade=0.65, bulge=0.1) for x in (-0.25, 0.2)]
    return Body(parts, {"straw": pick(look, "straw", rng, 0.6)})


def stump(rng: Rng, look: Look) -> Body:
    """A tree stump."""
    parts = [Part(polygon([(-0.34, 0), (0.34, 0), (0.25, 0.4), (-0.25, 0.4)]), "trunk", bulge=0.9, texture="wood", texture_strength=0.25)]
    parts += [Part(ellipse(0, 0.41, r, r * 0.3), "cut", shade=s, bulge=0.1) for r, s in ((0.26, 1.0), (0.17, 0.88), (0.08, 1.0))]
    return Body(parts, {"trunk": pick(look, "trunk", rng), "cut": pick(look, "wood", rng, 0.95)})


def log(rng: Rng, look: Look) -> Body:
    """A fallen trunk."""
    parts = [Part(limb([(-0.8, 0.14), (0.7, 0.16)], [0.14, 0.15]), "trunk", bulge=0.9, texture="wood", texture_strength=0.3)]
    parts.append(Part(ellipse(0.74, 0.16, 0.09, 0.15), "cut", bulge=0.2))
    return Body(parts, {"trunk": pick(look, "trunk", rng), "cut": pick(look, "wood", rng, 0.9)})


def windmill(rng: Rng, look: Look) -> Body:
    """A wind turbine or an old mill."""
    parts = [Part(polygon([(-0.045, 0), (0.045, 0), (0.02, 0.68), (-0.02, 0.68)]), "tower", bulge=0.8)]
    start = float(rng.uniform(0, 2))
    for k in range(3):
        a = start + k * 2 * np.pi / 3
        parts.append(Part(limb([(0, 0.68), (0.3 * float(np.cos(a)), 0.68 + 0.3 * float(np.sin(a)))], [0.022, 0.005]), "tower"))
    return Body(parts, {"tower": pick(look, "plaster", rng, 0.9)})


def lighthouse(rng: Rng, look: Look) -> Body:
    """A banded lighthouse."""
    parts = []
    for i in range(5):
        y0, y1 = i * 0.15, (i + 1) * 0.15
        w0, w1 = 0.13 - 0.010 * i, 0.13 - 0.010 * (i + 1)
        parts.append(Part(polygon([(-w0, y0), (w0, y0), (w1, y1), (-w1, y1)]), "red" if i % 2 else "white", bulge=0.9))
    parts += [
        Part(box(-0.1, 0.75, 0.1, 0.78), "dark"),
        Part(box(-0.06, 0.78, 0.06, 0.9), "lamp"),
        Part(polygon([(-0.08, 0.9), (0.08, 0.9), (0, 1.0)]), "red"),
    ]
    return Body(parts, {"red": pick(look, "paint", rng, 0.3), "white": (232, 230, 224), "dark": DARK, "lamp": (250, 236, 170)})


def pier_post(rng: Rng, look: Look) -> Body:
    """A mooring post."""
    parts = [Part(limb([(0, 0), (0, 0.8)], [0.1, 0.09]), "wood", bulge=0.9, texture="wood", texture_strength=0.25)]
    parts.append(Part(limb([(-0.1, 0.5), (0.1, 0.48)], [0.03, 0.03]), "rope"))
    return Body(parts, {"wood": pick(look, "trunk", rng), "rope": pick(look, "straw", rng, 0.8)})


def buoy(rng: Rng, look: Look) -> Body:
    """A buoy."""
    parts = [
        Part(ellipse(0, 0.16, 0.3, 0.16), "paint", shade=0.8),
        Part(polygon([(-0.2, 0.2), (0.2, 0.2), (0.06, 0.85), (-0.06, 0.85)]), "paint"),
        Part(ellipse(0, 0.9, 0.08, 0.08), "lamp"),
    ]
    return Body(parts, {"paint": pick(look, "paint", rng, 0.2), "lamp": (240, 236, 210)})


def parasol(rng: Rng, look: Look) -> Body:
    """A beach parasol."""
    parts = [Part(limb([(0, 0), (0.05, 0.85)], [0.014, 0.014]), "pole")]
    t = np.linspace(0, np.pi, 7)
    edge = np.stack([0.05 + 0.5 * np.cos(t), 0.66 + 0.3 * np.sin(t)], axis=1)
    for i in range(6):
        parts.append(
            Part(polygon([edge[i], edge[i + 1], (0.05, 0.97 if i in (2, 3) else 0.9), (0.05, 0.66)]), "a" if i % 2 else "b", bulge=0.4)
        )
    return Body(parts, {"pole": pick(look, "wood", rng, 0.8), "a": pick(look, "paint", rng, 0.6), "b": (238, 234, 224)})


def stall(rng: Rng, look: Look) -> Body:
    """A market stall with fruit."""
    parts = [Part(box(x, 0, x + 0.05, 0.75), "wood") for x in (-0.6, 0.55)]
    parts.append(Part(box(-0.62, 0.0, 0.62, 0.36), "wood", shade=0.85, bulge=0.15, texture="wood", texture_strength=0.2))
    for x in np.linspace(-0.54, 0.54, 12).tolist():
        parts.append(Part(ellipse(x, 0.39 + float(rng.uniform(0, 0.03)), 0.055, 0.05), str(rng.choice(["f1", "f2", "f3"])), bulge=1.0))
    for i in range(8):
        x = -0.72 + 0.18 * i
        parts.append(
            Part(polygon([(x, 0.72), (x + 0.18, 0.72), (x * 0.8 + 0.144, 0.98), (x * 0.8, 0.98)]), "a" if i % 2 else "b", bulge=0.3)
        )
    return Body(
        parts,
        {
            "wood": pick(look, "wood", rng),
            "a": pick(look, "paint", rng, 0.3),
            "b": (238, 234, 224),
            "f1": (206, 60, 46),
            "f2": (230, 160, 50),
            "f3": (110, 160, 60),
        },
    )


def cone(rng: Rng, look: Look) -> Body:
    """A traffic cone."""
    parts = [
        Part(box(-0.26, 0, 0.26, 0.07), "paint", shade=0.8),
        Part(polygon([(-0.18, 0.06), (0.18, 0.06), (0.03, 0.8), (-0.03, 0.8)]), "paint"),
        Part(polygon([(-0.115, 0.32), (0.115, 0.32), (0.08, 0.5), (-0.08, 0.5)]), "white"),
    ]
    return Body(parts, {"paint": mix((232, 104, 40), pick(look, "autumn", rng), 0.25), "white": (238, 238, 236)})


def suitcase(rng: Rng, look: Look) -> Body:
    """A suitcase on wheels."""
    parts = [Part(box(-0.1, 0.6, -0.06, 0.95), "dark"), Part(box(0.06, 0.6, 0.1, 0.95), "dark"), Part(box(-0.12, 0.92, 0.12, 0.97), "dark")]
    parts += [
        Part(box(-0.26, 0.06, 0.26, 0.72, 0.06), "paint", bulge=0.4),
        Part(box(-0.26, 0.36, 0.26, 0.39), "paint", shade=0.75, bulge=0.1),
    ]
    parts += [Part(ellipse(x, 0.04, 0.05, 0.05), "dark") for x in (-0.2, 0.2)]
    return Body(parts, {"dark": DARK, "paint": pick(look, "cloth", rng, 0.3)})


def hangar(rng: Rng, look: Look) -> Body:
    """An aircraft hangar."""
    t = np.linspace(0, np.pi, 12)
    arch = np.stack([np.cos(t), 0.2 + 0.6 * np.sin(t)], axis=1)
    parts = [Part(polygon(np.concatenate([[(1.0, 0)], arch, [(-1.0, 0)]])), "steel", bulge=0.15, texture="stripes", texture_strength=0.06)]
    parts.append(Part(box(-0.66, 0, 0.66, 0.48), "dark", bulge=0.1))
    parts += [Part(box(-0.66 + 0.33 * i, 0, -0.66 + 0.33 * i + 0.015, 0.48), "steel", bulge=0.1) for i in range(5)]
    return Body(parts, {"steel": pick(look, "steel", rng, 0.8), "dark": pick(look, "steel", rng, 0.2)})


def control_tower(rng: Rng, look: Look) -> Body:
    """An airport control tower."""
    parts = [Part(polygon([(-0.1, 0), (0.1, 0), (0.07, 0.7), (-0.07, 0.7)]), "wall", bulge=0.7)]
    parts += [
        Part(polygon([(-0.14, 0.7), (0.14, 0.7), (0.2, 0.88), (-0.2, 0.88)]), "glass", gloss=0.3),
        Part(box(-0.2, 0.88, 0.2, 0.94), "wall"),
        Part(box(-0.008, 0.94, 0.008, 1.05), "wall"),
    ]
    return Body(parts, {"wall": pick(look, "plaster", rng, 0.8), "glass": (70, 104, 120)})


def catenary(rng: Rng, look: Look) -> Body:
    """A mast of an electric railway."""
    parts = [
        Part(limb([(0, 0), (0, 1.0)], [0.02, 0.016]), "steel"),
        Part(limb([(0, 0.9), (0.34, 0.86)], [0.012, 0.008]), "steel"),
        Part(limb([(0, 0.78), (0.34, 0.86)], [0.008, 0.008]), "steel"),
    ]
    return Body(parts, {"steel": pick(look, "steel", rng, 0.2)})


def station(rng: Rng, look: Look) -> Body:
    """A station building with a canopy."""
    parts = [Part(box(-1.2, 0, 1.2, 0.6), "wall", bulge=0.08, texture="fabric", texture_strength=0.1)]
    parts.append(
        Part(polygon([(-1.28, 0.58), (1.28, 0.58), (1.0, 0.92), (-1.0, 0.92)]), "roof", bulge=0.15, texture="wood", texture_strength=0.2)
    )
    _windows(parts, -1.15, 0.12, 1.15, 0.55, 7, 1)
    parts.append(Part(polygon([(-1.3, 0.5), (1.3, 0.5), (1.22, 0.58), (-1.22, 0.58)]), "canopy", bulge=0.2))
    parts += [Part(box(x, 0, x + 0.03, 0.5), "canopy", bulge=0.4) for x in np.linspace(-1.2, 1.17, 6).tolist()]
    return Body(
        parts,
        {
            "wall": pick(look, "brick", rng),
            "roof": pick(look, "roof", rng),
            "canopy": pick(look, "steel", rng, 0.3),
            "frame": pick(look, "plaster", rng),
            "glass": (92, 112, 124),
        },
    )


def bench(rng: Rng, look: Look) -> Body:
    """A park bench."""
    parts = [Part(box(x, 0, x + 0.06, 0.6), "steel") for x in (-0.7, 0.64)]
    parts += [Part(box(-0.8, y, 0.8, y + 0.08, 0.01), "wood", bulge=0.3, texture="wood", texture_strength=0.15) for y in (0.28, 0.44, 0.54)]
    return Body(parts, {"steel": pick(look, "steel", rng, 0.1), "wood": pick(look, "wood", rng)})


def picture(rng: Rng, look: Look) -> Body:
    """A framed picture of some landscape or shapes."""
    w = float(rng.uniform(0.35, 0.7))
    parts = [Part(box(-w, 0, w, 1.0), "frame", bulge=0.4), Part(box(-w + 0.07, 0.07, w - 0.07, 0.93), "mat", bulge=0.0)]
    a, b = -w + 0.13, w - 0.13
    parts.append(Part(box(a, 0.13, b, 0.87), "sky", bulge=0.0))
    middle = float(rng.uniform(0.35, 0.6))
    parts.append(
        Part(
            polygon([(a, 0.13), (b, 0.13), (b, middle), (0.2 * b, middle + 0.14), (0.4 * a, middle - 0.05), (a, middle + 0.05)]),
            "land",
            bulge=0.1,
            texture="fabric",
            texture_strength=0.15,
        )
    )
    return Body(
        parts,
        {
            "frame": pick(look, "wood", rng, 0.3),
            "mat": pick(look, "plaster", rng, 0.95),
            "sky": pick(look, "cloth", rng, 0.9),
            "land": pick(look, "cloth", rng, 0.3),
        },
    )


def window(rng: Rng, look: Look) -> Body:
    """A window with curtains and a view of pale sky."""
    parts = [Part(box(-0.5, 0.06, 0.5, 1.0), "frame", bulge=0.2), Part(box(-0.44, 0.12, 0.44, 0.94), "sky", bulge=0.0)]
    parts.append(
        Part(
            polygon([(-0.44, 0.12), (0.44, 0.12), (0.44, 0.34), (0.1, 0.42), (-0.2, 0.32), (-0.44, 0.4)]),
            "green",
            bulge=0.1,
            texture="leaf",
            texture_strength=0.15,
        )
    )
    parts += [
        Part(box(-0.02, 0.12, 0.02, 0.94), "frame", bulge=0.2),
        Part(box(-0.44, 0.5, 0.44, 0.54), "frame", bulge=0.2),
        Part(box(-0.56, 0.02, 0.56, 0.08), "frame", bulge=0.4),
    ]
    if rng.random() < 0.6:
        for side in (-1, 1):
            drape = polygon([(side * 0.62, 1.05), (side * 0.28, 1.05), (side * 0.36, 0.5), (side * 0.42, 0.0), (side * 0.64, 0.0)])
            parts.append(Part(drape, "cloth", bulge=0.3, texture="stripes", texture_strength=0.12))
    return Body(
        parts,
        {
            "frame": pick(look, "plaster", rng, 1.0),
            "sky": (206, 226, 240),
            "green": (150, 176, 140),
            "cloth": pick(look, "cloth", rng, 0.8),
        },
    )


def shelf(rng: Rng, look: Look) -> Body:
    """A bookcase."""
    w = float(rng.uniform(0.28, 0.42))
    parts = [
        Part(box(-w, 0, w, 1.0), "wood", shade=0.9, bulge=0.1, texture="wood", texture_strength=0.1),
        Part(box(-w + 0.03, 0.03, w - 0.03, 0.97), "wood", shade=0.55, bulge=0.1),
    ]
    for level in range(4):
        y = 0.04 + 0.235 * level
        x = -w + 0.04
        while x < w - 0.08:
            thick, tall = float(rng.uniform(0.02, 0.05)), float(rng.uniform(0.12, 0.19))
            if rng.random() < 0.85:
                parts.append(Part(box(x, y, x + thick, y + tall), f"book{int(rng.integers(5))}", bulge=0.3))
            x += thick + 0.004
        parts.append(Part(box(-w + 0.02, y - 0.02, w - 0.02, y), "wood", bulge=0.2))
    palette = {f"book{i}": pick(look, "paint" if i % 2 else "cloth", rng, 0.4) for i in range(5)}
    return Body(parts, {**palette, "wood": pick(look, "wood", rng)})


def wardrobe(rng: Rng, look: Look) -> Body:
    """A tall cupboard with two doors."""
    parts = [Part(box(-0.36, 0.03, 0.36, 1.0), "wood", bulge=0.15, texture="wood", texture_strength=0.12)]
    for x in (-0.34, 0.01):
        parts.append(Part(box(x, 0.07, x + 0.33, 0.97), "wood", shade=1.08, bulge=0.2, texture="wood", texture_strength=0.14))
        parts.append(Part(box(x + 0.05, 0.5, x + 0.28, 0.92), "wood", shade=0.95, bulge=0.2))
    parts += [Part(ellipse(x, 0.5, 0.018, 0.018), "knob") for x in (-0.04, 0.045)]
    parts += [Part(box(x, 0, x + 0.05, 0.05), "wood", shade=0.7) for x in (-0.34, 0.29)]
    return Body(parts, {"wood": pick(look, "wood" if rng.random() < 0.6 else "plaster", rng, 0.6), "knob": (200, 180, 130)})


def drawers(rng: Rng, look: Look) -> Body:
    """A low chest of drawers, whose top is at 0.6."""
    parts = [Part(box(x, 0, x + 0.06, 0.1), "wood", shade=0.7) for x in (-0.62, 0.56)]
    parts.append(Part(box(-0.68, 0.08, 0.68, 0.58), "wood", shade=0.9, bulge=0.1, texture="wood", texture_strength=0.12))
    for i in range(2):
        for x in (-0.64, 0.02):
            y = 0.12 + 0.22 * i
            parts.append(Part(box(x, y, x + 0.62, y + 0.2), "wood", shade=1.05, bulge=0.2, texture="wood", texture_strength=0.12))
            parts.append(Part(box(x + 0.27, y + 0.09, x + 0.35, y + 0.11), "knob"))
    parts.append(
        Part(
            polygon([(-0.73, 0.56), (0.73, 0.56), (0.69, 0.62), (-0.69, 0.62)]),
            "wood",
            shade=1.15,
            bulge=0.1,
            texture="wood",
            texture_strength=0.12,
        )
    )
    return Body(parts, {"wood": pick(look, "wood" if rng.random() < 0.7 else "paint", rng, 0.6), "knob": (66, 60, 54)})


def counter(rng: Rng, look: Look) -> Body:
    """A length of kitchen units, worktop at 0.6; repeats sideways."""
    parts = [
        Part(box(-0.8, 0.06, 0.8, 0.55), "front", shade=0.94, bulge=0.05),
        Part(box(-0.8, 0, 0.8, 0.06), "front", shade=0.55, bulge=0.05),
    ]
    for x in (-0.78, -0.25, 0.28):
        parts.append(Part(box(x, 0.09, x + 0.5, 0.53, 0.01), "front", bulge=0.15, texture="wood", texture_strength=0.06))
        parts.append(Part(box(x + 0.16, 0.46, x + 0.34, 0.48), "knob"))
    parts.append(Part(box(-0.8, 0.54, 0.8, 0.61), "top", bulge=0.25, texture="fabric", texture_strength=0.1))
    return Body(
        parts,
        {
            "front": pick(look, "paint" if rng.random() < 0.5 else "wood", rng, 0.8),
            "top": pick(look, "rock", rng, 0.6),
            "knob": pick(look, "steel", rng, 0.8),
        },
    )


def fridge(rng: Rng, look: Look) -> Body:
    """A refrigerator."""
    parts = [Part(box(-0.27, 0, 0.27, 1.0, 0.03), "steel", bulge=0.25), Part(box(-0.27, 0.62, 0.27, 0.635), "steel", shade=0.6, bulge=0.1)]
    parts += [Part(box(-0.22, y, -0.19, y + 0.16), "steel", shade=0.7) for y in (0.42, 0.68)]
    return Body(parts, {"steel": pick(look, "plaster" if rng.random() < 0.6 else "steel", rng, 0.95)})


def wall_cupboard(rng: Rng, look: Look) -> Body:
    """Kitchen cupboards on a wall."""
    parts = [Part(box(-0.8, 0, 0.8, 0.55), "front", shade=0.9, bulge=0.05)]
    parts += [
        Part(box(x, 0.03, x + 0.5, 0.52, 0.01), "front", bulge=0.15, texture="wood", texture_strength=0.06) for x in (-0.78, -0.25, 0.28)
    ]
    return Body(parts, {"front": pick(look, "paint" if rng.random() < 0.5 else "wood", rng, 0.85)})


def floor_lamp(rng: Rng, look: Look) -> Body:
    """A standing lamp with a shade."""
    parts = [Part(ellipse(0, 0.02, 0.14, 0.03), "steel"), Part(limb([(0, 0.02), (0, 0.75)], [0.012, 0.012]), "steel")]
    parts.append(Part(polygon([(-0.19, 0.7), (0.19, 0.7), (0.12, 1.0), (-0.12, 1.0)]), "shade", bulge=0.7))
    return Body(parts, {"steel": pick(look, "steel", rng, 0.2), "shade": (246, 226, 178)})


def pendant(rng: Rng, look: Look) -> Body:
    """A ceiling lamp on its cord."""
    parts = [
        Part(box(-0.008, 0.25, 0.008, 1.0), "dark"),
        Part(polygon([(-0.24, 0), (0.24, 0), (0.07, 0.28), (-0.07, 0.28)]), "shade", bulge=0.7),
        Part(ellipse(0, 0.0, 0.1, 0.05), "lamp"),
    ]
    return Body(parts, {"dark": DARK, "shade": pick(look, "paint", rng, 0.4), "lamp": (252, 240, 200)})


def door(rng: Rng, look: Look) -> Body:
    """An inner door."""
    parts = [
        Part(box(-0.28, 0, 0.28, 1.04), "frame", bulge=0.2),
        Part(box(-0.23, 0, 0.23, 1.0), "wood", bulge=0.1, texture="wood", texture_strength=0.1),
    ]
    parts += [Part(box(x, y, x + 0.16, y + 0.36), "wood", shade=0.93, bulge=0.3) for x in (-0.18, 0.02) for y in (0.08, 0.54)]
    parts.append(Part(ellipse(0.19, 0.48, 0.02, 0.02), "knob", gloss=0.5))
    return Body(
        parts,
        {
            "frame": pick(look, "plaster", rng, 0.9),
            "wood": pick(look, "wood" if rng.random() < 0.5 else "plaster", rng, 0.7),
            "knob": (200, 176, 110),
        },
    )


def bed(rng: Rng, look: Look) -> Body:
    """A bed seen from its side."""
    parts = [
        Part(box(-1.0, 0, -0.92, 0.75, 0.02), "wood"),
        Part(box(0.94, 0, 1.0, 0.42, 0.02), "wood"),
        Part(box(-0.95, 0.1, 0.97, 0.26), "wood", bulge=0.2),
    ]
    parts += [
        Part(box(-0.93, 0.24, 0.96, 0.42, 0.05), "sheet", bulge=0.7),
        Part(
            spline([(-0.3, 0.2), (0.97, 0.16), (0.98, 0.42), (0.2, 0.5), (-0.32, 0.46)]),
            "cloth",
            bulge=0.6,
            texture="fabric",
            texture_strength=0.1,
        ),
    ]
    parts.append(Part(ellipse(-0.68, 0.48, 0.22, 0.09), "sheet", bulge=0.9))
    return Body(parts, {"wood": pick(look, "wood", rng, 0.4), "sheet": (236, 232, 226), "cloth": pick(look, "cloth", rng)})


def clock(rng: Rng, look: Look) -> Body:
    """A wall clock."""
    parts = [Part(ellipse(0, 0.5, 0.5, 0.5), "frame"), Part(ellipse(0, 0.5, 0.41, 0.41), "face", bulge=0.1)]
    angle = float(rng.uniform(0, 6))
    parts += [
        Part(limb([(0, 0.5), (r * float(np.cos(a)), 0.5 + r * float(np.sin(a)))], [0.03, 0.02]), "frame")
        for r, a in ((0.3, angle), (0.22, angle * 1.7))
    ]
    return Body(parts, {"frame": pick(look, "wood", rng, 0.1), "face": (240, 238, 230)})


def board(rng: Rng, look: Look) -> Body:
    """A whiteboard or notice board."""
    parts = [Part(box(-0.9, 0, 0.9, 0.9), "frame", bulge=0.3), Part(box(-0.85, 0.05, 0.85, 0.85), "face", bulge=0.0)]
    for _ in range(7):
        x, y = float(rng.uniform(-0.75, 0.5)), float(rng.uniform(0.15, 0.7))
        parts.append(Part(box(x, y, x + 0.2, y + float(rng.choice([0.02, 0.14]))), f"note{int(rng.integers(3))}", bulge=0.1))
    palette = {f"note{i}": pick(look, "paint", rng, 0.5) for i in range(3)}
    return Body(
        parts, {**palette, "frame": pick(look, "steel", rng, 0.7), "face": (236, 236, 232) if rng.random() < 0.6 else (196, 160, 112)}
    )


def cabinet(rng: Rng, look: Look) -> Body:
    """A filing cabinet."""
    parts = [Part(box(-0.25, 0, 0.25, 0.8), "steel", bulge=0.15)]
    for i in range(3):
        y = 0.03 + 0.255 * i
        parts += [
            Part(box(-0.22, y, 0.22, y + 0.23), "steel", shade=1.08, bulge=0.2),
            Part(box(-0.07, y + 0.15, 0.07, y + 0.175), "steel", shade=0.6),
        ]
    return Body(parts, {"steel": pick(look, "steel", rng, 0.7)})


def books(rng: Rng, look: Look) -> Body:
    """A pile of books."""
    parts, y = [], 0.0
    for i in range(int(rng.integers(3, 6))):
        w, h = float(rng.uniform(0.3, 0.45)), float(rng.uniform(0.07, 0.12))
        parts += [
            Part(box(-w, y, w, y + h, 0.01), f"book{i % 3}", bulge=0.3),
            Part(box(-w + 0.03, y + 0.02, w, y + h - 0.02), "page", bulge=0.1),
        ]
        y += h
    return Body(parts, {**{f"book{i}": pick(look, "cloth", rng, 0.3) for i in range(3)}, "page": (236, 228, 206)})


def bowl(rng: Rng, look: Look) -> Body:
    """A bowl of fruit."""
    parts = [
        Part(ellipse(x, 0.36 + float(rng.uniform(0, 0.06)), 0.14, 0.13), f"f{i % 3}", bulge=1.0)
        for i, x in enumerate((-0.24, 0.02, 0.26, -0.1, 0.14))
    ]
    t = np.linspace(np.pi, 2 * np.pi, 12)
    parts.append(Part(np.stack([0.48 * np.cos(t), 0.36 + 0.34 * np.sin(t)], axis=1), "bowl", bulge=0.9, gloss=0.3))
    return Body(parts, {"f0": (204, 64, 50), "f1": (232, 170, 56), "f2": (122, 164, 62), "bowl": pick(look, "cloth", rng, 0.9)})


PROPS: dict[str, PropBuilder] = {
    "tree": tree, "pine": pine, "palm": palm, "bush": bush, "flowers": flowers, "grass tuft": grass_tuft, "reeds": reeds, "rock": rock,
    "cactus": cactus, "fence": fence, "house": house, "barn": barn, "block": block, "tower": tower, "street lamp": street_lamp,
        "sign": sign,
    "traffic light": traffic_light, "bin": bin_, "crate": crate, "hay": hay, "stump": stump, "log": log, "windmill": windmill,
    "lighthouse": lighthouse, "pier post": pier_post, "buoy": buoy, "parasol": parasol, "stall": stall, "cone": cone, "suitcase": suitcase,
    "hangar": hangar, "control tower": control_tower, "catenary": catenary, "station": station, "bench": bench, "picture": picture,
    "window": window, "shelf": shelf, "wardrobe": wardrobe, "drawers": drawers, "counter": counter, "fridge": fridge,
    "wall cupboard": wall_cupboard, "floor lamp": floor_lamp, "pendant": pendant, "door": door, "bed": bed, "clock": clock, "board": board,
    "cabinet": cabinet, "books": books, "bowl": bowl,
}  # fmt: skip
