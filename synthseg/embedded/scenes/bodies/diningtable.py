"""Dining tables: rectangular on legs, round or oval on a pedestal, bare or laid."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.bodies.choices import choose_view, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import Model, view_camera
from synthseg.embedded.scenes.parts import Body, BodyRequest


def diningtable(request: BodyRequest) -> Body:
    """A table about 0.6 units high and 1.3 wide, seen from a little above: front, side or three-quarter view."""
    view = choose_view(request, "front", "three_quarter", "three_quarter")
    model = Model(view_camera(request, view, 14, 28, distance=4.5, side_yaw=(56.0, 70.0)))
    wood = main_color(request, "brown", "brown", "golden", "beige", "white", "black", "maroon")
    palette = {
        "wood": wood,
        "cloth": lighter(main_color(request, "white", "red", "cream", "blue", "green", "pink"), 0.1),
        "band": pick(request, "white", "red", "navy", "golden"),
        "metal": pick(request, "silver", "black", "gray"),
        "plate": lighter(pick(request, "white", "white", "cream", "teal"), 0.2),
        "food": pick(request, "orange", "green", "brown", "red", "yellow"),
        "cup": pick(request, "white", "red", "blue", "yellow", "green"),
        "dark": (70.0, 46.0, 30.0),
    }
    high, thick = request.span(0.50, 0.64), request.span(0.03, 0.07)
    half, deep = request.span(0.52, 0.70), request.span(0.26, 0.42)
    round_top = request.chance(0.4)
    clothed = request.chance(0.3)
    if round_top:
        deep = half * request.span(0.6, 0.95)
        _pedestal(request, model, high - thick, half)
        stretch = half / deep
        model.round((0, 0), (high - thick, high), (deep, deep), "wood", bulge=0.2, texture="wood", texture_strength=0.15, stretch=stretch)
        if clothed:
            drop = request.span(0.08, 0.24)
            model.round(
                (0, 0), (high - drop, high + 0.005), (deep * 1.08, deep * 1.03), "cloth",
                bulge=0.3, texture="fabric", texture_strength=0.08, stretch=stretch, sheet=True,
            )  # fmt: skip
    else:
        _legs(request, model, high - thick, half, deep)
        model.box((-half, high - thick, -deep), (half, high, deep), "wood", texture="wood", texture_strength=0.15, gloss=0.05)
        if clothed:
            _tablecloth(request, model, high, half, deep)
    if request.chance(0.65):
        _lay(request, model, high + 0.008, half, deep, round_top)
    return Body(model.parts(), palette)


def _legs(request: BodyRequest, model: Model, under: float, half: float, deep: float) -> None:
    leg = request.span(0.025, 0.055)
    role = "metal" if request.chance(0.2) else "wood"
    inset = request.span(0.0, 0.10)
    slim = request.chance(0.5)
    for sx in (-1, 1):
        for sz in (-1, 1):
            x, z = sx * (half - leg - inset), sz * (deep - leg - inset * 0.5)
            if slim:
                splay = 0.04 * sx
                model.rod([(x + splay, 0, z), (x, under, z)], (leg * 0.5, leg), role, shade=0.75 if sz < 0 else 1.0)
            else:
                model.box((x - leg, 0, z - leg), (x + leg, under, z + leg), role, texture="wood", texture_strength=0.12)
    apron = request.span(0.05, 0.10)
    if request.chance(0.7):
        x, z = half - leg - inset, deep - leg - inset * 0.5
        model.box((-x, under - apron, -z), (x, under, z), role, texture="wood", texture_strength=0.1)


def _pedestal(request: BodyRequest, model: Model, under: float, half: float) -> None:
    foot, neck = half * request.span(0.4, 0.6), request.span(0.035, 0.08)
    role = "metal" if request.chance(0.25) else "wood"
    if request.chance(0.5):
        model.round((0, 0), (0.0, 0.03), (foot, foot * 0.9), role)
    else:
        for a in np.arange(4) * np.pi / 2 + 0.6:
            end = (foot * float(np.cos(a)), 0.03, foot * float(np.sin(a)))
            model.rod([(0, 0.16, 0), end], (0.04, 0.025), role)
    model.round((0, 0), (0.03, under * 0.4, under), (neck * 1.7, neck, neck * 1.4), role, gloss=0.1)


def _tablecloth(request: BodyRequest, model: Model, high: float, half: float, deep: float) -> None:
    drop = request.span(0.06, 0.22)
    x, z = half * 1.02, deep * 1.03
    model.box((-x, high - drop, -z), (x, high + 0.005, z), "cloth", texture="fabric", texture_strength=0.08, sheet=True)
    y = high + 0.006
    if request.chance(0.5):
        for share in (-0.5, 0.5):
            low, up = (share - 0.06) * 2 * x * 0.9, (share + 0.06) * 2 * x * 0.9
            model.decal([(low, y, z), (up, y, z), (up, y, -z), (low, y, -z)], "band", shade=1.1)
    else:
        model.decal([(-x, y, z * 0.22), (x, y, z * 0.22), (x, y, -z * 0.22), (-x, y, -z * 0.22)], "band", shade=1.1)


def _lay(request: BodyRequest, model: Model, y: float, half: float, deep: float, round_top: bool) -> None:
    reach = 0.62 if round_top else 0.75
    spots = [(-0.62, 0.45), (0.62, 0.45), (-0.62, -0.5), (0.62, -0.5), (0.0, 0.0), (0.0, 0.62)]
    for sx, sz in spots:
        if request.chance(0.35):
            continue
        x, z = sx * half * reach, sz * deep * reach
        kind = request.choose("plate", "plate", "cup", "bowl")
        if kind == "plate":
            r = request.span(0.07, 0.11)
            model.round((x, z), (y, y + 0.012), (r * 0.7, r), "plate", bulge=0.1)
            model.round((x, z), (y + 0.013, y + 0.03), (r * 0.5, r * 0.35), "food", bulge=0.6)
        elif kind == "cup":
            model.round((x, z), (y, y + request.span(0.06, 0.10)), (0.026, 0.034), "cup", top_role="dark", gloss=0.2)
        else:
            model.round((x, z), (y, y + 0.06), (0.04, 0.085), "plate", top_role="food", gloss=0.1)
