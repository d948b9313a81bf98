"""Puts a whole picture together, with its exact mask: place, actors far to near, shadows, water, foreground, finish."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.casting import cast_actors, choose_place
from synthseg.embedded.scenes.grammar import SceneWish
from synthseg.embedded.scenes.layout import Spot, lay_out
from synthseg.embedded.scenes.light import Mood, finish, make_mood
from synthseg.embedded.scenes.places import PLACES
from synthseg.embedded.scenes.places.sprites import contact_shadow, paste
from synthseg.embedded.scenes.places.stage import Backdrop, Stage
from synthseg.embedded.scenes.raster import fill, paint_body
from synthseg.embedded.scenes.worlds import World
from synthseg.taxonomy import taxonomy

SUPERSAMPLING = 2
MIN_VISIBLE_SHARE = 0.004
"""A class counts as visible from this share of the pixels on."""
_CLASS_IDS = {c.name: c.class_id for c in taxonomy("voc").classes}


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and the truth about it."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    mask: NDArray[np.uint8]
    """(H, W) VOC ids, 0 background, no void."""
    instances: NDArray[np.uint8]
    """(H, W) number of the object, 0 background."""
    visible_shares: dict[int, float]
    """Share of the pixels for each class that has any."""

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Classes with at least `MIN_VISIBLE_SHARE` of the pixels, ascending."""
        return tuple(sorted(c for c, share in self.visible_shares.items() if share >= MIN_VISIBLE_SHARE))


def compose(wish: SceneWish, world: World, width: int, height: int, rng: np.random.Generator) -> Scene:
    """Paint `wish` in `world` at (height, width) pixels."""
    place = choose_place(wish, rng)
    mood = make_mood(_light_word(wish, place, rng), wish.weather, world, rng)
    canvas = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 3), np.uint8)
    backdrop = Backdrop(canvas, world, mood, rng)
    stage = PLACES[place](backdrop)
    if wish.camera == "bokeh" or rng.random() < world.soft_background:
        sigma = float(rng.uniform(0.8, 1.8)) * (2.0 if wish.camera == "bokeh" else 1.0) * height / 128
        canvas[:] = cv2.GaussianBlur(canvas, (0, 0), sigmaX=sigma)
    actors = cast_actors(wish, place, world, rng)
    spots = lay_out(actors, stage, world, wish.camera, canvas.shape[1], canvas.shape[0], rng)
    ids = np.zeros(canvas.shape[:2], np.uint8)
    for number, spot in enumerate(spots, start=1):
        inside = _paint_spot(backdrop, stage, spot, rng)
        ids[inside] = number
    if stage.foreground and rng.random() < world.foreground_probability:
        _foreground(backdrop, stage, ids)
    small = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    instances = np.ascontiguousarray(ids[::SUPERSAMPLING, ::SUPERSAMPLING])
    table = np.zeros(256, np.uint8)
    for number, spot in enumerate(spots, start=1):
        table[number] = _CLASS_IDS[spot.actor.class_name]
    mask = table[instances]
    counts = np.bincount(mask.ravel(), minlength=256)
    shares = {int(c): float(counts[c]) / mask.size for c in np.flatnonzero(counts) if c != 0}
    return Scene(finish(small, mood, world, stage.indoor, rng), mask, instances, shares)


def _light_word(wish: SceneWish, place: str, rng: np.random.Generator) -> str | None:
    if wish.light is None and place == "city" and rng.random() < 0.7:
        return "night"
    if wish.light is None and place == "studio":
        return "studio light"
    return wish.light


def _paint_spot(backdrop: Backdrop, stage: Stage, spot: Spot, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Paint one actor with what touches it; returns its silhouette on the canvas."""
    canvas, mood, placement = backdrop.canvas, backdrop.mood, spot.placement
    if spot.plinth:
        _plinth(backdrop, spot, stage.indoor)
    if spot.ground == "ground" and not stage.indoor and mood.sun_height < 0.95 and mood.shadow > 0.12:
        _cast_shadow(canvas, spot, mood)
    if spot.ground in ("ground", "surface"):
        _contact(canvas, spot, mood)
    if spot.ground != "water":
        return paint_body(canvas, spot.actor.body, placement, mood.light, rng) > 0
    line = round(placement.y)
    sunk = 0.05 if spot.actor.stand == "water" else 0.4
    placement.y += sunk * spot.actor.height * placement.scale
    before = canvas[max(line, 0) :].copy()
    inside = paint_body(canvas, spot.actor.body, placement, mood.light, rng) > 0
    canvas[max(line, 0) :] = before
    inside[max(line, 0) :] = False
    _reflection(canvas, inside, line)
    return inside


def _contact(canvas: NDArray[np.uint8], spot: Spot, mood: Mood) -> None:
    """The dark line where a body touches what it stands on."""
    low = np.concatenate([p.outline[p.outline[:, 1] < 0.08 * spot.actor.height + spot.actor.low[1]] for p in spot.actor.body.parts])
    if low.size == 0:
        return
    side = -1.0 if spot.placement.mirror else 1.0
    x0, x1 = float(low[:, 0].min()), float(low[:, 0].max())
    center, half = spot.placement.x + side * (x0 + x1) / 2 * spot.placement.scale, max((x1 - x0) / 2 * spot.placement.scale, 2.0)
    contact_shadow(canvas, center, spot.placement.y - 1, half * 1.25 + 2, max(2.5, half * 0.16), min(0.75, 0.35 + mood.shadow * 0.6))


def _cast_shadow(canvas: NDArray[np.uint8], spot: Spot, mood: Mood) -> None:
    """The body's shadow on the ground, flattened and leaning away from the sun."""
    p = spot.placement
    height, width = canvas.shape[0] // 2, canvas.shape[1] // 2
    layer = np.zeros((height, width), np.uint8)
    lean = (0.95 - 0.5 * mood.sun_height) * (1.0 if mood.sun_left else -1.0)
    flat = 0.16 + 0.10 * mood.sun_height
    for part in spot.actor.body.parts:
        x = part.outline[:, 0] * (-p.scale if p.mirror else p.scale) + part.outline[:, 1] * p.scale * lean + p.x
        y = p.y - part.outline[:, 1] * p.scale * flat
        fill(layer, np.stack([x, y], axis=1) / 2, 255)
    rows = np.flatnonzero(layer.any(axis=1))
    if rows.size == 0:
        return
    y0, y1 = max(int(rows[0]) - 4, 0), min(int(rows[-1]) + 5, height)
    soft = cv2.GaussianBlur(layer[y0:y1], (5, 5), 1.2)
    full = cv2.resize(soft, (canvas.shape[1], 2 * (y1 - y0)), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    factor = 1.0 - (mood.shadow / 255.0) * full
    region = canvas[2 * y0 : 2 * y1]
    region[:] = (region * factor[..., None]).astype(np.uint8)


def _reflection(canvas: NDArray[np.uint8], inside: NDArray[np.bool_], line: int) -> None:
    """Mirror what is above the waterline faintly into the water."""
    depth = min(canvas.shape[0] - line, line, canvas.shape[0] // 4)
    if depth <= 2 or line <= 0:
        return
    source = canvas[line - depth : line][::-1].astype(np.float32)
    shape = inside[line - depth : line][::-1]
    ripple = np.round(2.5 * np.sin(np.arange(depth) * 0.9)).astype(int)
    fade = np.linspace(0.45, 0.0, depth, dtype=np.float32)
    target = canvas[line : line + depth].astype(np.float32)
    for row in range(depth):
        moved = np.roll(shape[row], int(ripple[row]))
        if moved.any():
            target[row, moved] += (np.roll(source[row], int(ripple[row]), axis=0)[moved] * 0.85 - target[row, moved]) * fade[row]
    canvas[line : line + depth] = target.astype(np.uint8)


def _plinth(backdrop: Backdrop, spot: Spot, indoor: bool) -> None:
    """Something to stand on: a chest of drawers in rooms, a crate elsewhere."""
    foot = spot.depth
    lift = foot - spot.placement.y / backdrop.height
    kind, top, units = ("drawers", 0.59, 1.46) if indoor else ("crate", 0.60, 0.8)
    size = lift / top
    wanted = 1.35 * spot.actor.width * spot.placement.scale / backdrop.width
    stretch = max(1.0, wanted / (size * units * backdrop.height / backdrop.width))
    paste(backdrop, kind, spot.placement.x / backdrop.width, foot + 0.01, size * 1.04, stretch=min(stretch, 4.0))


def _foreground(backdrop: Backdrop, stage: Stage, ids: NDArray[np.uint8]) -> None:
    """Something near the viewer that hides a part of the picture."""
    kind = backdrop.choose(*stage.foreground)
    pasted = paste(backdrop, kind, backdrop.span(0.0, 1.0), backdrop.span(1.0, 1.08), backdrop.span(0.22, 0.42), shadow=False)
    if pasted is not None:
        top, left, inside = pasted
        ids[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = 0
