"""Chairs: wooden dining chair, office chair, high stool with a back, folding chair."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.choices import choose_view, darker, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import Model, view_camera
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color


def chair(request: BodyRequest) -> Body:
    """A chair about 1 unit high without arms like a sofa's: front, side, back or three-quarter view."""
    view = choose_view(request, "three_quarter", "three_quarter", "side", "front", "back")
    model = Model(view_camera(request, view, 8, 20))
    kind = request.choose("wooden", "wooden", "office", "stool", "folding")
    if kind == "office":
        palette = _office(request, model)
    elif kind == "folding":
        palette = _folding(request, model)
    else:
        palette = _wooden(request, model, tall=kind == "stool")
    return Body(model.parts(), palette)


def _wooden(request: BodyRequest, model: Model, tall: bool) -> dict[str, Color]:
    wood = main_color(request, "brown", "brown", "golden", "beige", "white", "black", "maroon", "teal", "red")
    cushioned = request.chance(0.35)
    palette = {"frame": wood, "seat": pick(request, "red", "blue", "green", "cream", "gray") if cushioned else wood}
    seat = request.span(0.56, 0.68) if tall else request.span(0.40, 0.52)
    top = request.span(0.88, 1.0) if tall else request.span(0.88, 1.10)
    half, deep = request.span(0.17, 0.25), request.span(0.17, 0.25)
    thick, leg = request.span(0.03, 0.07), request.span(0.016, 0.034)
    lean, splay = -request.span(0.04, 0.22), request.span(0.0, 0.05)
    for sx in (-1, 1):
        for sz in (-1, 1):
            x, z = sx * (half - leg), sz * (deep - leg)
            model.rod([(x + sx * splay, 0, z + sz * splay), (x, seat - thick, z)], (leg * 0.8, leg), "frame", shade=0.85 if sz < 0 else 1.0)
    if request.chance(0.6) or tall:
        y = seat * request.span(0.25, 0.5)
        for sx in (-1, 1):
            x = sx * (half - leg)
            model.rod([(x, y, -deep + leg), (x, y, deep - leg)], (leg * 0.6, leg * 0.6), "frame", shade=0.8)
        model.rod([(-half + leg, y, deep - leg), (half - leg, y, deep - leg)], (leg * 0.6, leg * 0.6), "frame", shade=0.9)
    model.box((-half, seat - thick, -deep), (half, seat, deep), "frame", texture="wood", texture_strength=0.12)
    if cushioned:
        model.box(
            (-half * 0.92, seat, -deep * 0.85), (half * 0.92, seat + 0.04, deep * 0.95), "seat",
            soft=0.12, bulge=0.4, texture="fabric", texture_strength=0.12,
        )  # fmt: skip
    _wooden_back(request, model, seat, top, half, deep, leg, lean)
    return palette


def _wooden_back(request: BodyRequest, model: Model, seat: float, top: float, half: float, deep: float, leg: float, lean: float) -> None:
    def at(y: float, x: float) -> tuple[float, float, float]:
        return x, y, -deep + leg + lean * (y - seat)

    post = leg * 1.1
    style = request.choose("upright", "ladder", "ladder", "panel")
    rail = request.span(0.05, 0.10)
    for sx in (-1, 1):
        model.rod([at(seat, sx * (half - post)), at(top, sx * (half - post))], (post, post * 0.9), "frame")
    z_top = -deep + lean * (top - rail - seat)
    model.box((-half + post, top - rail, z_top), (half - post, top, z_top + 2 * leg), "frame", texture="wood", texture_strength=0.12)
    if style == "upright":
        count = int(request.rng.integers(3, 6))
        for x in np.linspace(-half + post, half - post, count + 2)[1:-1]:
            model.rod([at(seat, float(x)), at(top - rail / 2, float(x))], (leg * 0.5, leg * 0.5), "frame", shade=0.92)
    elif style == "ladder":
        count = int(request.rng.integers(2, 4))
        for y in np.linspace(seat + 0.12, top - rail - 0.09, count):
            z = -deep + lean * (float(y) - seat)
            model.box((-half + post, float(y) - rail * 0.35, z), (half - post, float(y) + rail * 0.35, z + 1.6 * leg), "frame")
    else:
        z = -deep + lean * 0.10
        model.box(
            (-half * 0.55, seat + 0.02, z), (half * 0.55, top - rail, z + leg), "frame",
            lean=lean, texture="wood", texture_strength=0.15,
        )  # fmt: skip


def _office(request: BodyRequest, model: Model) -> dict[str, Color]:
    cloth = main_color(request, "black", "gray", "navy", "blue", "red", "teal", "beige")
    palette = {"cloth": cloth, "metal": pick(request, "silver", "black", "gray"), "castor": (30.0, 30.0, 32.0), "arm": darker(cloth, 0.5)}
    seat, top = request.span(0.44, 0.54), request.span(0.95, 1.12)
    half, deep, reach = request.span(0.21, 0.27), request.span(0.20, 0.26), request.span(0.24, 0.32)
    turn = float(request.rng.uniform(0, 2 * np.pi))
    for i in range(5):
        a = turn + i * 2 * np.pi / 5
        end = (reach * float(np.cos(a)), 0.07, reach * float(np.sin(a)))
        model.rod([(end[0], 0.03, end[2]), (end[0], 0.0, end[2] + 0.01)], (0.032, 0.032), "castor")
        model.rod([(0, 0.13, 0), end], (0.03, 0.018), "metal", gloss=0.3)
    model.rod([(0, 0.12, 0), (0, seat - 0.09, 0)], (0.032, 0.028), "metal", gloss=0.4)
    thick = request.span(0.07, 0.11)
    model.box((-half, seat - thick, -deep), (half, seat, deep), "cloth", soft=0.14, bulge=0.5, texture="fabric", texture_strength=0.1)
    low, lean = seat + request.span(0.06, 0.14), -request.span(0.06, 0.2)
    model.rod([(0, seat - 0.05, -deep), (0, low + 0.1, -deep - 0.03)], (0.025, 0.025), "metal")
    wide = half * request.span(0.8, 1.0)
    model.box(
        (-wide, low, -deep - 0.04), (wide, top, -deep + 0.03), "cloth", lean=lean, soft=0.16, bulge=0.5,
        texture="fabric", texture_strength=0.1,
    )  # fmt: skip
    if request.chance(0.6):
        for sx in (-1, 1):
            x, y = sx * (half + 0.03), seat + request.span(0.16, 0.22)
            model.rod([(x, seat - 0.04, 0), (x, y, 0.0)], (0.018, 0.018), "arm")
            model.rod([(x, y, -deep * 0.6), (x, y, deep * 0.6)], (0.026, 0.026), "arm")
    return palette


def _folding(request: BodyRequest, model: Model) -> dict[str, Color]:
    palette = {
        "panel": main_color(request, "blue", "red", "white", "green", "brown", "orange", "navy", "yellow"),
        "frame": pick(request, "silver", "gray", "black", "brown"),
    }
    half, deep = request.span(0.19, 0.25), request.span(0.18, 0.25)
    seat, top = request.span(0.42, 0.52), request.span(0.88, 1.02)
    pipe, back = request.span(0.014, 0.026), request.span(0.08, 0.2)
    for sx in (-1, 1):
        x = sx * half
        model.rod([(x, 0, deep), (x, seat, -deep * 0.75), (x, top, -deep - back)], (pipe, pipe, pipe), "frame", gloss=0.3)
        model.rod([(x * 0.9, 0, -deep), (x * 0.9, seat, deep * 0.8)], (pipe, pipe), "frame", gloss=0.3)
    for z, y in ((deep * 0.75, 0.10), (-deep * 0.75, 0.10)):
        model.rod([(-half * 0.95, y, z), (half * 0.95, y, z)], (pipe * 0.8, pipe * 0.8), "frame", shade=0.9)
    model.box((-half * 0.88, seat - 0.03, -deep * 0.8), (half * 0.88, seat + 0.015, deep), "panel", texture="fabric", texture_strength=0.1)
    tall = request.span(0.14, 0.30)
    lean = -back / max(top - seat, 0.1)
    z_low = -deep * 0.9 + lean * (top - 0.02 - tall - seat)
    model.box(
        (-half, top - 0.02 - tall, z_low), (half, top - 0.02, z_low + 0.03), "panel", lean=lean,
        texture="fabric", texture_strength=0.1,
    )  # fmt: skip
    return palette
