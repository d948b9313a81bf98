"""Open country: meadow, farm, forest, mountain, desert, snow, garden, park."""

from __future__ import annotations

from synthseg.embedded.scenes.places.scatter import row, scatter
from synthseg.embedded.scenes.places.sky import paint_sky
from synthseg.embedded.scenes.places.sprites import paste
from synthseg.embedded.scenes.places.stage import Backdrop, Stage
from synthseg.embedded.scenes.places.strips import path
from synthseg.embedded.scenes.places.surfaces import plane, ridge


def _stage(horizon: float, *foreground: str) -> Stage:
    return Stage(horizon=horizon, ground=(horizon + 0.10, 0.96), sky=(0.03, horizon - 0.03), foreground=foreground)


def meadow(backdrop: Backdrop) -> Stage:
    """Grass to the horizon, woods and hills behind."""
    horizon = backdrop.span(0.34, 0.52)
    paint_sky(backdrop, horizon + 0.02)
    if backdrop.chance(0.7):
        ridge(backdrop, "mountain" if backdrop.chance(0.3) else "woods", horizon + 0.02, backdrop.span(0.06, 0.16), 0.15, 0.75)
    if backdrop.chance(0.7):
        ridge(backdrop, "woods", horizon + 0.025, backdrop.span(0.03, 0.07), 0.5, 0.35)
    plane(backdrop, "dry grass" if backdrop.chance(0.2) else "grass", horizon)
    if backdrop.chance(0.4):
        row(backdrop, ("tree", "bush"), horizon + 0.03, backdrop.span(0.08, 0.14), 0.12, skip=0.4)
    if backdrop.chance(0.35):
        row(backdrop, ("fence",), horizon + 0.09, 0.10, 0.155, far=0.2, jitter=0.0)
    scatter(backdrop, ("tree", "bush", "rock", "bush"), horizon, horizon + 0.03, horizon + 0.22, 0.75, backdrop.num_props())
    scatter(backdrop, ("grass tuft", "flowers", "grass tuft"), horizon, horizon + 0.2, 1.0, 0.16, backdrop.num_props())
    return _stage(horizon, "grass tuft", "flowers")


def farm(backdrop: Backdrop) -> Stage:
    """A yard with barn, fence and hay."""
    horizon = backdrop.span(0.36, 0.50)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, "woods", horizon + 0.02, backdrop.span(0.04, 0.09), 0.4, 0.55)
    plane(backdrop, backdrop.choose("grass", "dry grass", "dirt"), horizon)
    if backdrop.chance(0.5):
        path(backdrop, "dirt", horizon, 0.04, 0.5)
    paste(backdrop, "barn", backdrop.span(0.1, 0.9), horizon + 0.06, backdrop.span(0.26, 0.40), far=0.15)
    if backdrop.chance(0.5):
        paste(
            backdrop,
            backdrop.choose("windmill", "tree", "house"),
            backdrop.span(0.0, 1.0),
            horizon + 0.05,
            backdrop.span(0.2, 0.34),
            far=0.25,
        )
    if backdrop.chance(0.75):
        row(backdrop, ("fence",), horizon + 0.12, 0.13, 0.2, far=0.05, jitter=0.0)
    scatter(backdrop, ("hay", "crate", "bush", "hay"), horizon, horizon + 0.1, horizon + 0.32, 0.28, backdrop.num_props())
    scatter(backdrop, ("grass tuft",), horizon, horizon + 0.25, 1.0, 0.14, backdrop.num_props())
    return _stage(horizon, "grass tuft", "hay")


def forest(backdrop: Backdrop) -> Stage:
    """Among trees."""
    horizon = backdrop.span(0.40, 0.52)
    paint_sky(backdrop, horizon + 0.02)
    kinds = ("pine", "pine", "tree") if backdrop.chance(0.5) else ("tree", "tree", "pine")
    ridge(backdrop, "woods", horizon + 0.03, backdrop.span(0.25, 0.34), 0.5, 0.30)
    plane(backdrop, "forest floor", horizon, zoom=1.3)
    row(backdrop, kinds, horizon + 0.05, 0.42, 0.10, far=0.35)
    row(backdrop, kinds, horizon + 0.09, 0.58, 0.19, far=0.12, skip=0.3)
    scatter(backdrop, ("bush", "log", "stump", "rock", "bush"), horizon, horizon + 0.06, horizon + 0.35, 0.32, backdrop.num_props())
    scatter(backdrop, ("grass tuft",), horizon, horizon + 0.2, 1.0, 0.16, backdrop.num_props())
    return Stage(horizon=horizon, ground=(horizon + 0.14, 0.96), sky=(0.05, horizon - 0.12), foreground=("bush", "grass tuft"))


def mountain(backdrop: Backdrop) -> Stage:
    """A high valley under peaks."""
    horizon = backdrop.span(0.42, 0.55)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, "mountain", horizon + 0.02, backdrop.span(0.30, 0.42), 0.45, 0.65)
    ridge(backdrop, "rock", horizon + 0.02, backdrop.span(0.14, 0.22), 0.5, 0.4)
    ridge(backdrop, "woods", horizon + 0.03, backdrop.span(0.05, 0.10), 0.6, 0.25)
    plane(backdrop, backdrop.choose("grass", "rock", "dry grass"), horizon)
    scatter(backdrop, ("pine", "rock", "pine"), horizon, horizon + 0.03, horizon + 0.2, 0.7, backdrop.num_props())
    scatter(backdrop, ("rock", "grass tuft", "bush"), horizon, horizon + 0.15, 0.98, 0.18, backdrop.num_props())
    return _stage(horizon, "rock", "grass tuft")


def desert(backdrop: Backdrop) -> Stage:
    """Sand, rocks and cacti."""
    horizon = backdrop.span(0.36, 0.50)
    paint_sky(backdrop, horizon + 0.02)
    if backdrop.chance(0.6):
        ridge(backdrop, "rock", horizon + 0.02, backdrop.span(0.07, 0.16), 0.25, 0.6)
    ridge(backdrop, "sand", horizon + 0.025, backdrop.span(0.03, 0.08), 0.05, 0.3)
    plane(backdrop, "sand", horizon, zoom=1.5)
    if backdrop.chance(0.3):
        path(backdrop, "asphalt", horizon, 0.02, 0.8, marked=True)
    scatter(backdrop, ("cactus", "rock", "bush"), horizon, horizon + 0.04, horizon + 0.30, 0.5, backdrop.num_props())
    return _stage(horizon, "rock", "cactus")


def snow(backdrop: Backdrop) -> Stage:
    """A snowy landscape."""
    horizon = backdrop.span(0.36, 0.50)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, backdrop.choose("snow", "mountain"), horizon + 0.02, backdrop.span(0.10, 0.26), 0.3, 0.6)
    ridge(backdrop, "woods", horizon + 0.03, backdrop.span(0.04, 0.08), 0.6, 0.45)
    plane(backdrop, "snow", horizon, zoom=1.6)
    scatter(backdrop, ("pine", "pine", "rock"), horizon, horizon + 0.03, horizon + 0.25, 0.75, backdrop.num_props())
    if backdrop.chance(0.3):
        row(backdrop, ("fence",), horizon + 0.1, 0.11, 0.17, far=0.2, jitter=0.0)
    return _stage(horizon, "rock", "pine")


def garden(backdrop: Backdrop) -> Stage:
    """A lawn with a hedge, flowers and a house."""
    horizon = backdrop.span(0.36, 0.48)
    paint_sky(backdrop, horizon + 0.02)
    row(backdrop, ("tree",), horizon + 0.03, 0.28, 0.22, far=0.3, skip=0.3)
    if backdrop.chance(0.75):
        paste(backdrop, "house", backdrop.span(0.1, 0.9), horizon + 0.06, backdrop.span(0.34, 0.48), far=0.08)
    plane(backdrop, "grass", horizon + 0.05, horizon=horizon - 0.03)
    if backdrop.chance(0.5):
        row(backdrop, ("bush",), horizon + 0.08, 0.17, 0.12, far=0.05)
    else:
        row(backdrop, ("fence",), horizon + 0.08, 0.14, 0.21, far=0.05, jitter=0.0)
    if backdrop.chance(0.5):
        path(backdrop, "paving", horizon + 0.06, 0.06, 0.4)
    scatter(backdrop, ("flowers", "bush", "flowers"), horizon, horizon + 0.1, horizon + 0.36, 0.34, backdrop.num_props())
    return Stage(horizon=horizon, ground=(horizon + 0.16, 0.96), sky=(0.04, horizon - 0.1), foreground=("flowers", "bush"))


def park(backdrop: Backdrop) -> Stage:
    """Lawn, trees, a path, benches."""
    horizon = backdrop.span(0.36, 0.48)
    paint_sky(backdrop, horizon + 0.02)
    if backdrop.chance(0.5):
        row(backdrop, ("tower", "block"), horizon + 0.02, backdrop.span(0.16, 0.28), 0.12, far=0.7, skip=0.3)
    row(backdrop, ("tree", "bush", "tree"), horizon + 0.03, 0.24, 0.13, far=0.35)
    plane(backdrop, "grass", horizon)
    path(backdrop, backdrop.choose("sand", "paving", "asphalt"), horizon, 0.05, 0.6)
    scatter(backdrop, ("tree", "street lamp", "bush", "bench", "bin"), horizon, horizon + 0.06, horizon + 0.26, 0.55, backdrop.num_props())
    scatter(backdrop, ("flowers", "grass tuft"), horizon, horizon + 0.2, 1.0, 0.15, backdrop.num_props())
    return _stage(horizon, "bush", "grass tuft")
