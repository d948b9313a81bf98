"""Television sets and monitors: flat set on a stand or on the wall above its sound bar, tube set with an antenna, computer monitor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthseg.embedded.scenes.bodies.choices import darker, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import Model, Points, view_camera
from synthseg.embedded.scenes.colors import tint
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, View

OnScreen = Callable[..., Points]
"""Maps (u, v) pairs in 0..1 of the screen, v up, to points of the model."""

_BROADCASTS = ("off", "landscape", "bars", "match", "face")
_VIEWS: tuple[View, ...] = ("front", "three_quarter")


def tvmonitor(request: BodyRequest) -> Body:
    """A set about 0.8 units high and 1.1 wide with its screen in sight: front or three-quarter view (others take the latter)."""
    view: View = request.view if request.view in _VIEWS else ("three_quarter" if request.view or request.chance(0.5) else "front")
    model = Model(view_camera(request, view, 2, 9, distance=4.5))
    kind = request.choose("flat", "flat", "tube", "monitor")
    palette: dict[str, Color] = {"black": (22.0, 22.0, 25.0), "lamp": (90.0, 220.0, 120.0)}
    if kind == "tube":
        _tube(request, model, palette)
    else:
        _flat(request, model, palette, computer=kind == "monitor")
    return Body(model.parts(), palette, stand="ground" if kind == "tube" and request.chance(0.4) else "surface")


def _flat(request: BodyRequest, model: Model, palette: dict[str, Color], computer: bool) -> None:
    palette["case"] = main_color(request, *(("black", "silver", "white", "gray") if computer else ("black", "black", "gray", "silver")))
    palette["foot"] = darker(palette["case"], 0.2)
    half = request.span(0.38, 0.46) if computer else request.span(0.48, 0.58)
    tall = half * 2 * (request.span(0.58, 0.72) if computer else request.span(0.54, 0.62))
    mounted = not computer and request.chance(0.2)
    low = 0.11 if mounted else request.span(0.10, 0.20) * (1.3 if computer else 0.8)
    thin, rim = request.span(0.03, 0.07), request.span(0.02, 0.05)
    if mounted:
        model.box((-0.12, low + tall * 0.3, -0.12), (0.12, low + tall * 0.7, -thin), "foot")
        bar = half * request.span(0.5, 0.8)
        model.box((-bar, 0.0, -0.04), (bar, 0.055, 0.04), "foot", soft=0.05, gloss=0.1)
    elif computer or request.chance(0.6):
        wide = half * request.span(0.35, 0.55)
        model.round((0, 0), (0.0, 0.025), (0.13, 0.12), "foot", stretch=wide / 0.13, gloss=0.2)
        model.box((-0.05, 0.025, -0.05), (0.05, low + 0.05, -0.02), "foot", gloss=0.1)
    else:
        x = half * request.span(0.55, 0.8)
        for sx in (-1, 1):
            model.rod([(sx * x, low + 0.02, -0.02), (sx * x * 1.05, 0.0, 0.12)], (0.02, 0.016), "foot")
            model.rod([(sx * x, low + 0.02, -0.03), (sx * x * 1.05, 0.0, -0.12)], (0.02, 0.016), "foot", shade=0.7)
    model.box((-half, low, -thin / 2), (half, low + tall, thin / 2), "case", gloss=0.12)
    chin = rim * (2.0 if computer else 1.2)
    if computer:
        shows: tuple[str, ...] = ("desktop", "desktop", "off", "landscape")
    else:
        # a landscape on the wall would be a painting
        shows = ("off", "bars", "match", "face") if mounted else _BROADCASTS
    _screen(request, model, palette, (-half + rim, low + chin), (half - rim, low + tall - rim), thin / 2, shows)
    model.decal(_panel(half * 0.84, low + chin * 0.3, half * 0.88, low + chin * 0.7, thin / 2), "lamp")


def _tube(request: BodyRequest, model: Model, palette: dict[str, Color]) -> None:
    palette["case"] = main_color(request, "brown", "black", "gray", "silver", "red", "cream")
    palette["foot"] = darker(palette["case"], 0.35)
    palette["knob"] = lighter(palette["case"], 0.5)
    half, tall, deep = request.span(0.38, 0.52), request.span(0.58, 0.72), request.span(0.22, 0.34)
    foot = request.span(0.02, 0.10)
    for sx in (-1, 1):
        for sz in (-1, 1):
            model.rod([(sx * half * 0.8, 0, sz * deep * 0.8), (sx * half * 0.75, foot + 0.02, sz * deep * 0.7)], (0.018, 0.024), "foot")
    low, top = foot, foot + tall
    model.box((-half * 0.7, low + tall * 0.12, -deep * 1.3), (half * 0.7, top - tall * 0.15, -deep * 0.3), "foot")
    model.box((-half, low, -deep * 0.3), (half, top, deep), "case", texture="wood", texture_strength=0.08, soft=0.03, gloss=0.08)
    right = request.span(0.14, 0.2) if request.chance(0.6) else 0.05
    model.decal(_panel(-half * 0.95, low + 0.03, half * 0.95, top - 0.03, deep), "foot")
    _screen(request, model, palette, (-half * 0.9, low + 0.08), (half * (0.95 - right * 2), top - 0.06), deep, _BROADCASTS, rounding=0.08)
    if right > 0.1:
        x = half * (0.95 - right)
        for y in (top - 0.12, top - 0.24):
            model.decal(_disc(x, y, 0.045, deep), "knob", bulge=0.8)
        for i in range(4):
            y = low + 0.08 + 0.045 * i
            model.decal(_panel(x - 0.06, y, x + 0.06, y + 0.018, deep), "black")
    if request.chance(0.65):
        reach, spread = request.span(0.20, 0.34), request.span(0.10, 0.28)
        palette["aerial"] = tint("silver", request.rng)
        model.round((0, 0.05), (top, top + 0.03), (0.07, 0.05), "black")
        for sx in (-1, 1):
            model.rod([(0, top + 0.03, 0.05), (sx * spread, top + reach, 0.05)], (0.011, 0.009), "aerial", gloss=0.4)


def _panel(x0: float, y0: float, x1: float, y1: float, z: float) -> Points:
    return np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])


def _disc(x: float, y: float, r: float, z: float) -> Points:
    t = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return np.stack([x + r * np.cos(t), y + r * np.sin(t), np.full_like(t, z)], axis=1)


def _screen(
    request: BodyRequest,
    model: Model,
    palette: dict[str, Color],
    low: tuple[float, float],
    high: tuple[float, float],
    z: float,
    shows: tuple[str, ...],
    rounding: float = 0.0,
) -> None:
    """Draw the screen between two corners of the case's front face, dark or with one of the pictures it `shows`."""
    size = np.array([high[0] - low[0], high[1] - low[1]])

    def on(*pairs: tuple[float, float]) -> Points:
        p = np.asarray(low) + np.asarray(pairs) * size
        return np.column_stack([p, np.full(len(p), z)])

    palette["screen"] = lighter((16.0, 19.0, 26.0), request.span(0.0, 0.14))
    edge = (
        (0.0, 0.0),
        (0.5, -rounding / 2),
        (1.0, 0.0),
        (1 + rounding / 2, 0.5),
        (1.0, 1.0),
        (0.5, 1 + rounding / 2),
        (0.0, 1.0),
        (-rounding / 2, 0.5),
    )
    model.decal(on(*edge), "screen", bulge=0.25, gloss=0.12)
    _PICTURES[request.choose(*shows)](request, model, palette, on)


def _off(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    palette["glare"] = lighter(palette["screen"], request.span(0.15, 0.35))
    u = request.span(0.15, 0.6)
    model.decal(on((u, 0.05), (u + 0.12, 0.05), (u + 0.32, 0.95), (u + 0.2, 0.95)), "glare")


def _landscape(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    palette["sky"] = lighter(pick(request, "blue", "teal", "orange", "pink"), 0.4)
    palette["hill"], palette["field"] = pick(request, "purple", "navy", "gray", "teal"), pick(request, "green", "golden", "beige", "blue")
    palette["sun"] = lighter(pick(request, "yellow", "white", "orange"), 0.3)
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.97), (0.02, 0.97)), "sky")
    u = request.span(0.2, 0.8)
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    model.decal(on(*zip(u + 0.06 * np.cos(t), 0.76 + 0.1 * np.sin(t), strict=True)), "sun")
    peak = request.span(0.2, 0.5)
    model.decal(on((0.02, 0.3), (0.98, 0.3), (0.98, 0.45), (peak + 0.35, 0.62), (peak + 0.2, 0.48), (peak, 0.72), (0.02, 0.42)), "hill")
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.32), (0.5, 0.38), (0.02, 0.30)), "field")


def _bars(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    names = ("white", "yellow", "teal", "green", "purple", "red", "blue")
    for i, name in enumerate(names):
        palette[f"bar{i}"] = tint(name, request.rng, 4.0)
        u0, u1 = 0.02 + 0.96 * i / 7, 0.02 + 0.96 * (i + 1) / 7
        model.decal(on((u0, 0.22), (u1, 0.22), (u1, 0.97), (u0, 0.97)), f"bar{i}")


def _match(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    palette["pitch"], palette["line"] = pick(request, "green", "green", "blue"), (235.0, 238.0, 230.0)
    palette["crowd"] = pick(request, "gray", "navy", "maroon")
    palette["team0"], palette["team1"] = pick(request, "red", "orange", "white"), pick(request, "blue", "yellow", "black")
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.97), (0.02, 0.97)), "pitch")
    model.decal(on((0.02, 0.8), (0.98, 0.8), (0.98, 0.97), (0.02, 0.97)), "crowd")
    model.decal(on((0.48, 0.03), (0.5, 0.03), (0.5, 0.8), (0.48, 0.8)), "line")
    for i in range(6):
        u, v = request.rng.uniform(0.08, 0.9), request.rng.uniform(0.1, 0.6)
        model.decal(on((u, v), (u + 0.035, v), (u + 0.045, v + 0.14), (u - 0.01, v + 0.14)), f"team{i % 2}")


def _face(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    palette["studio"], palette["suit"] = pick(request, "blue", "teal", "purple", "navy"), pick(request, "gray", "red", "black", "white")
    palette["skin"], palette["hair"], palette["band"] = (
        (212.0, 160.0, 124.0),
        pick(request, "brown", "black", "golden"),
        pick(request, "red", "white", "yellow"),
    )
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.97), (0.02, 0.97)), "studio")
    u = request.span(0.3, 0.7)
    t = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    model.decal(on((u - 0.2, 0.03), (u + 0.2, 0.03), (u + 0.17, 0.34), (u, 0.44), (u - 0.17, 0.34)), "suit")
    model.decal(on(*zip(u + 0.095 * np.cos(t), 0.64 + 0.22 * np.sin(t), strict=True)), "hair")
    model.decal(on(*zip(u + 0.08 * np.cos(t), 0.58 + 0.18 * np.sin(t), strict=True)), "skin")
    model.decal(on((0.02, 0.08), (0.98, 0.08), (0.98, 0.2), (0.02, 0.2)), "band")


def _desktop(request: BodyRequest, model: Model, palette: dict[str, Color], on: OnScreen) -> None:
    palette["desk"], palette["window"] = pick(request, "blue", "teal", "purple", "navy", "green"), (236.0, 238.0, 240.0)
    palette["title"], palette["text"] = pick(request, "navy", "gray", "blue"), (120.0, 124.0, 132.0)
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.97), (0.02, 0.97)), "desk")
    model.decal(on((0.02, 0.03), (0.98, 0.03), (0.98, 0.1), (0.02, 0.1)), "title")
    for shift in (0.0, 0.3):
        u, v = request.span(0.08, 0.2) + shift, request.span(0.16, 0.26) + shift / 3
        model.decal(on((u, v), (u + 0.5, v), (u + 0.5, v + 0.52), (u, v + 0.52)), "window")
        model.decal(on((u, v + 0.45), (u + 0.5, v + 0.45), (u + 0.5, v + 0.52), (u, v + 0.52)), "title")
        for i in range(4):
            y, end = v + 0.06 + 0.09 * i, u + request.rng.uniform(0.25, 0.45)
            model.decal(on((u + 0.04, y), (end, y), (end, y + 0.04), (u + 0.04, y + 0.04)), "text")


_PICTURES = {"off": _off, "landscape": _landscape, "bars": _bars, "match": _match, "face": _face, "desktop": _desktop}
