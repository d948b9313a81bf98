"""Built places: street, city by night, railway, airport, parking lot, market."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.places.scatter import row, scatter
from synthseg.embedded.scenes.places.sky import paint_sky
from synthseg.embedded.scenes.places.sprites import paste
from synthseg.embedded.scenes.places.stage import Backdrop, Stage
from synthseg.embedded.scenes.places.strips import cross_rails, cross_road, path, quad, rails
from synthseg.embedded.scenes.places.surfaces import plane, ridge


def _lamps(backdrop: Backdrop, foot: float, size: float) -> None:
    """Street lamps, which shine after dark."""
    for x in (backdrop.span(0.05, 0.35), backdrop.span(0.6, 0.95)):
        paste(backdrop, "street lamp", x, foot, size)
        backdrop.mood.glows.append((x, foot - 0.92 * size, 0.30, (255, 206, 130)))


def street(backdrop: Backdrop) -> Stage:
    """A street: across the view in front of houses, or running away between them."""
    horizon = backdrop.span(0.36, 0.46)
    paint_sky(backdrop, horizon + 0.08)
    if backdrop.chance(0.5):
        row(backdrop, ("tower",), horizon + 0.02, backdrop.span(0.3, 0.42), 0.16, far=0.7, skip=0.3)
    if backdrop.chance(0.62):
        houses = ("block", "block", "house") if backdrop.chance(0.7) else ("house", "tree", "house")
        row(backdrop, houses, horizon + 0.09, backdrop.span(0.40, 0.56), 0.24 if houses[0] == "block" else 0.36, far=0.08, jitter=0.12)
        plane(backdrop, "paving", horizon + 0.085, horizon=horizon)
        far = backdrop.span(horizon + 0.16, horizon + 0.22)
        cross_road(backdrop, "asphalt", horizon, far, backdrop.span(0.88, 0.97))
        feet = far - 0.01
    else:
        plane(backdrop, "paving", horizon)
        path(backdrop, "asphalt", horizon, 0.03, backdrop.span(0.8, 1.2), marked=True)
        for depth in np.linspace(0.12, 0.62, 4).tolist():
            for side in (-1, 1):
                foot = horizon + (1 - horizon) * depth * 0.42
                paste(
                    backdrop,
                    "block",
                    0.5 + side * (0.12 + 0.75 * depth),
                    foot,
                    0.22 + 0.62 * depth,
                    far=max(0.0, 0.45 - depth),
                    shadow=False,
                )
        feet = horizon + 0.2
    _lamps(backdrop, feet, backdrop.span(0.34, 0.44))
    scatter(backdrop, ("tree", "sign", "bin", "traffic light", "bush"), horizon, feet - 0.03, feet, 0.75, backdrop.num_props())
    return Stage(horizon=horizon, ground=(feet + 0.03, 0.95), sky=(0.03, horizon - 0.16), foreground=("sign", "bin", "cone"))


def city(backdrop: Backdrop) -> Stage:
    """A city by night: lit windows, wet-looking asphalt, lamps."""
    horizon = backdrop.span(0.38, 0.46)
    paint_sky(backdrop, horizon + 0.08)
    row(backdrop, ("tower", "tower", "block"), horizon + 0.04, backdrop.span(0.36, 0.5), 0.10, far=0.35)
    row(backdrop, ("block", "tower"), horizon + 0.09, 0.42, 0.2, far=0.05, skip=0.25)
    plane(backdrop, "paving", horizon + 0.085, horizon=horizon)
    far = horizon + 0.17
    cross_road(backdrop, "asphalt", horizon, far, 0.93)
    _lamps(backdrop, far - 0.01, 0.4)
    for _ in range(10):
        color = ((255, 196, 110), (120, 180, 255), (255, 110, 150))[int(backdrop.rng.integers(3))]
        backdrop.mood.glows.append((backdrop.span(0, 1), backdrop.span(0.1, horizon + 0.05), backdrop.span(0.05, 0.12), color))
    scatter(backdrop, ("sign", "bin", "traffic light"), horizon, far - 0.03, far, 0.7, backdrop.num_props() // 2)
    return Stage(horizon=horizon, ground=(far + 0.04, 0.95), sky=(0.03, 0.2), foreground=("sign", "bin"))


def railway(backdrop: Backdrop) -> Stage:
    """A station or open line with tracks across or away."""
    horizon = backdrop.span(0.38, 0.48)
    paint_sky(backdrop, horizon + 0.03)
    if backdrop.chance(0.5):
        row(backdrop, ("block", "tree", "house"), horizon + 0.03, 0.22, 0.17, far=0.5)
    else:
        ridge(backdrop, "woods", horizon + 0.03, backdrop.span(0.05, 0.14), 0.4, 0.5)
    plane(backdrop, "dirt", horizon)
    if backdrop.chance(0.6):
        if backdrop.chance(0.7):
            paste(backdrop, "station", backdrop.span(0.2, 0.8), horizon + 0.12, backdrop.span(0.32, 0.42), far=0.05)
        plane(backdrop, "concrete", horizon + 0.10, horizon + 0.2, horizon=horizon)
        quad(backdrop, [(0, horizon + 0.19), (1, horizon + 0.19), (1, horizon + 0.2), (0, horizon + 0.2)], (226, 200, 90))
        quad(backdrop, [(0, horizon + 0.2), (1, horizon + 0.2), (1, horizon + 0.23), (0, horizon + 0.23)], (96, 92, 88))
        far = horizon + 0.27
        cross_rails(backdrop, far, far + 0.08)
        if backdrop.chance(0.5):
            cross_rails(backdrop, far + 0.16, far + 0.27)
    else:
        rails(backdrop, horizon, backdrop.span(0.3, 0.7), backdrop.span(0.3, 0.7), 0.34)
        far = horizon + 0.16
    row(backdrop, ("catenary",), horizon + 0.14, 0.42, 0.4, far=0.1, jitter=0.02)
    scatter(backdrop, ("bush", "sign", "suitcase", "crate"), horizon, horizon + 0.10, horizon + 0.19, 0.4, backdrop.num_props())
    return Stage(horizon=horizon, ground=(far, 0.95), sky=(0.03, horizon - 0.08), foreground=("grass tuft", "sign"))


def airport(backdrop: Backdrop) -> Stage:
    """A runway with hangars and a control tower."""
    horizon = backdrop.span(0.40, 0.52)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, backdrop.choose("woods", "mountain"), horizon + 0.02, backdrop.span(0.03, 0.09), 0.3, 0.7)
    plane(backdrop, "grass", horizon)
    paste(backdrop, "hangar", backdrop.span(0.0, 1.0), horizon + 0.04, backdrop.span(0.14, 0.22), far=0.3)
    paste(backdrop, "control tower", backdrop.span(0.05, 0.95), horizon + 0.04, backdrop.span(0.22, 0.32), far=0.25)
    plane(backdrop, "concrete" if backdrop.chance(0.5) else "asphalt", horizon + 0.10, horizon=horizon)
    y = backdrop.span(horizon + 0.2, 0.8)
    for x in np.arange(-0.1, 1.0, 0.26).tolist():
        quad(backdrop, [(x, y), (x + 0.14, y), (x + 0.13, y + 0.016), (x - 0.01, y + 0.016)], (236, 232, 214))
    quad(backdrop, [(0, 0.93), (1, 0.93), (1, 0.95), (0, 0.95)], (222, 184, 70))
    scatter(backdrop, ("cone", "sign", "crate", "suitcase"), horizon, horizon + 0.08, horizon + 0.3, 0.24, backdrop.num_props() // 2 + 1)
    return Stage(horizon=horizon, ground=(horizon + 0.14, 0.94), sky=(0.04, horizon - 0.05), foreground=("cone",))


def parking(backdrop: Backdrop) -> Stage:
    """A parking lot with marked bays."""
    horizon = backdrop.span(0.36, 0.46)
    paint_sky(backdrop, horizon + 0.03)
    row(
        backdrop,
        ("block", "tree", "hangar") if backdrop.chance(0.5) else ("tree", "bush", "house"),
        horizon + 0.05,
        backdrop.span(0.22, 0.34),
        0.2,
        far=0.25,
    )
    plane(backdrop, "asphalt", horizon + 0.04, horizon=horizon - 0.02)
    vanish = backdrop.span(0.3, 0.7)
    for k in np.arange(-2.4, 2.6, 0.42).tolist():
        top, low = 0.28, 0.75
        ends = [
            (vanish + k * top, horizon + (1 - horizon) * top),
            (vanish + k * top + 0.008, horizon + (1 - horizon) * top),
            (vanish + k * low + 0.02, horizon + (1 - horizon) * low),
            (vanish + k * low, horizon + (1 - horizon) * low),
        ]
        quad(backdrop, ends, (222, 220, 210))
    _lamps(backdrop, horizon + 0.1, 0.4)
    scatter(backdrop, ("cone", "sign", "bin", "bush"), horizon, horizon + 0.06, horizon + 0.16, 0.45, backdrop.num_props())
    return Stage(horizon=horizon, ground=(horizon + 0.15, 0.95), sky=(0.03, horizon - 0.12), foreground=("cone", "sign"))


def market(backdrop: Backdrop) -> Stage:
    """Market stalls on a square."""
    horizon = backdrop.span(0.36, 0.46)
    paint_sky(backdrop, horizon + 0.08)
    row(backdrop, ("block", "block", "house"), horizon + 0.06, backdrop.span(0.36, 0.5), 0.22, far=0.2, jitter=0.15)
    plane(backdrop, "paving", horizon + 0.05, horizon=horizon - 0.02)
    row(backdrop, ("stall", "stall", "parasol"), horizon + 0.16, 0.26, 0.33, far=0.0, jitter=0.1)
    scatter(backdrop, ("crate", "bin", "crate", "sign"), horizon, horizon + 0.14, horizon + 0.3, 0.28, backdrop.num_props())
    return Stage(horizon=horizon, ground=(horizon + 0.22, 0.95), sky=(0.03, horizon - 0.14), foreground=("crate", "bin"))
