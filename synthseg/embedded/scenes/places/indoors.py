"""Rooms: living room, bedroom, kitchen, dining room, office, cafe, studio."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.palettes import pick
from synthseg.embedded.scenes.parts import Color
from synthseg.embedded.scenes.places.sprites import contact_shadow, paste
from synthseg.embedded.scenes.places.stage import Backdrop, Stage
from synthseg.embedded.scenes.places.strips import quad
from synthseg.embedded.scenes.places.surfaces import plane, wall

Surface = tuple[float, float, float]


def _room(backdrop: Backdrop, walls: tuple[str, ...], floors: tuple[str, ...]) -> float:
    """Wall, skirting and floor; returns the row where they meet."""
    edge = backdrop.span(0.50, 0.62)
    material = backdrop.choose(*walls)
    wall(backdrop, material, 0.0, edge)
    floor = backdrop.choose(*floors)
    plane(backdrop, floor, edge, horizon=edge - backdrop.span(0.16, 0.26), fade=0.0, zoom=0.8)
    if backdrop.chance(0.45):
        _side_wall(backdrop, edge)
    light: Color = pick(backdrop.world.look, "plaster", backdrop.rng, 1.0)
    quad(backdrop, [(0, edge - 0.022), (1, edge - 0.022), (1, edge), (0, edge)], light)
    quad(backdrop, [(0, edge), (1, edge), (1, edge + 0.006), (0, edge + 0.006)], (70, 60, 52))
    return edge


def _side_wall(backdrop: Backdrop, edge: float) -> None:
    """Darken one side so that the room has a corner."""
    left, corner = backdrop.chance(0.5), backdrop.span(0.10, 0.2)
    columns = np.arange(backdrop.width) / backdrop.width
    inside = columns < corner if left else columns > 1 - corner
    rows = round(edge * backdrop.height)
    part = backdrop.canvas[:rows, inside]
    backdrop.canvas[:rows, inside] = (part * 0.86).astype(np.uint8)


def _rug(backdrop: Backdrop, edge: float) -> None:
    """A rug in perspective."""
    x, half = backdrop.span(0.3, 0.7), backdrop.span(0.22, 0.36)
    far, near = edge + 0.12, backdrop.span(0.86, 0.97)
    color, rim = (pick(backdrop.world.look, "cloth", backdrop.rng, at) for at in (0.8, 0.3))
    for inset, shade in ((0.0, rim), (0.025, color), (0.055, rim), (0.065, color)):
        quad(
            backdrop,
            [
                (x - half * 0.82 + inset, far + inset * 0.5),
                (x + half * 0.82 - inset, far + inset * 0.5),
                (x + half * 1.1 - inset, near - inset * 0.6),
                (x - half * 1.1 + inset, near - inset * 0.6),
            ],
            shade,
        )


def _on_wall(backdrop: Backdrop, kinds: tuple[str, ...], edge: float, count: int) -> None:
    """Things that hang: each in its own stretch of the wall."""
    for i in range(count):
        kind = backdrop.choose(*kinds)
        x = (i + backdrop.span(0.25, 0.75)) / count
        size = backdrop.span(0.26, 0.36) if kind in ("window", "board") else backdrop.span(0.10, 0.2)
        paste(backdrop, kind, x, backdrop.span(edge - 0.26, edge - 0.18), size, shadow=False)
        if kind == "window" and backdrop.mood.dark < 0.5:
            backdrop.mood.glows.append((x, edge - 0.3, 0.3, (200, 210, 230)))


def _lamp(backdrop: Backdrop, edge: float) -> None:
    x = backdrop.span(0.05, 0.95)
    paste(backdrop, "floor lamp", x, edge + 0.05, backdrop.span(0.42, 0.52))
    backdrop.mood.glows.append((x, edge - 0.35, 0.5, (255, 214, 150)))


def _sideboard(backdrop: Backdrop, edge: float) -> Surface:
    x, size = backdrop.span(0.25, 0.75), backdrop.span(0.34, 0.44)
    foot = edge + 0.05
    paste(backdrop, "drawers", x, foot, size)
    half = 0.6 * size * backdrop.height / backdrop.width
    return x - half, x + half, foot - 0.59 * size


def _stand_by(backdrop: Backdrop, kinds: tuple[str, ...], edge: float, count: int) -> None:
    """Tall furniture along the wall."""
    for _ in range(count):
        size = backdrop.span(0.46, 0.6)
        paste(backdrop, backdrop.choose(*kinds), backdrop.span(0.0, 1.0), edge + 0.03, size)


def _stage(edge: float, *surfaces: Surface) -> Stage:
    return Stage(horizon=edge - 0.2, ground=(edge + 0.10, 0.96), sky=(0.06, edge - 0.2), surfaces=surfaces, indoor=True)


def living_room(backdrop: Backdrop) -> Stage:
    """A living room with shelves, lamp, rug, pictures and a sideboard."""
    edge = _room(backdrop, ("plaster", "plaster", "wallpaper", "brick"), ("planks", "carpet", "planks"))
    _on_wall(backdrop, ("picture", "window", "clock", "picture"), edge, int(backdrop.rng.integers(2, 4)))
    _stand_by(backdrop, ("shelf", "door", "wardrobe"), edge, int(backdrop.rng.integers(1, 2 + backdrop.num_props() // 4)))
    surface = _sideboard(backdrop, edge)
    _lamp(backdrop, edge)
    if backdrop.chance(0.7):
        _rug(backdrop, edge)
    return _stage(edge, surface)


def bedroom(backdrop: Backdrop) -> Stage:
    """A bedroom with a bed and a wardrobe."""
    edge = _room(backdrop, ("plaster", "wallpaper"), ("planks", "carpet"))
    _on_wall(backdrop, ("picture", "window"), edge, 2)
    _stand_by(backdrop, ("wardrobe", "shelf"), edge, 1)
    surface = _sideboard(backdrop, edge)
    paste(backdrop, "bed", backdrop.span(0.1, 0.9), edge + 0.12, backdrop.span(0.34, 0.42))
    if backdrop.chance(0.6):
        _rug(backdrop, edge)
    return _stage(edge, surface)


def kitchen(backdrop: Backdrop) -> Stage:
    """A fitted kitchen with a worktop."""
    edge = _room(backdrop, ("tiles", "plaster", "tiles"), ("tiles", "planks"))
    size = backdrop.span(0.36, 0.44)
    wide = 1.6 * size * backdrop.height / backdrop.width
    state = backdrop.rng.bit_generator.state
    for i in range(int(1 / wide) + 2):
        backdrop.rng.bit_generator.state = state
        paste(backdrop, "counter", (i + 0.5) * wide - 0.08, edge + 0.08, size, shadow=False)
    state = backdrop.rng.bit_generator.state
    for i in range(int(1 / wide) + 1):
        backdrop.rng.bit_generator.state = state
        if i != 1:
            paste(backdrop, "wall cupboard", (i + 0.5) * wide - 0.08, edge - 0.30, size * 0.9, shadow=False)
    if backdrop.chance(0.6):
        _on_wall(backdrop, ("window",), edge - 0.06, 1)
    if backdrop.chance(0.7):
        paste(backdrop, "fridge", 0.06 if backdrop.chance(0.5) else 0.93, edge + 0.09, backdrop.span(0.56, 0.68))
    top = edge + 0.08 - 0.585 * size
    for _ in range(backdrop.num_props() // 3):
        paste(backdrop, backdrop.choose("bowl", "books"), backdrop.span(0.1, 0.9), top + 0.01, 0.12)
    contact_shadow(backdrop.canvas, backdrop.width / 2, (edge + 0.08) * backdrop.height, backdrop.width * 0.8, backdrop.height * 0.03, 0.35)
    return _stage(edge + 0.06, (0.12, 0.86, top + 0.012))


def dining_room(backdrop: Backdrop) -> Stage:
    """A dining room: lamp above, pictures, rug, sideboard."""
    edge = _room(backdrop, ("wallpaper", "plaster"), ("planks", "tiles"))
    _on_wall(backdrop, ("picture", "window", "clock"), edge, 2)
    surface = _sideboard(backdrop, edge)
    if backdrop.chance(0.5):
        _stand_by(backdrop, ("door", "shelf"), edge, 1)
    _rug(backdrop, edge)
    x = backdrop.span(0.35, 0.65)
    paste(backdrop, "pendant", x, backdrop.span(0.14, 0.22), 0.28, shadow=False)
    backdrop.mood.glows.append((x, 0.2, 0.6, (255, 218, 160)))
    return _stage(edge, surface)


def office(backdrop: Backdrop) -> Stage:
    """An office with boards, shelves and filing cabinets."""
    edge = _room(backdrop, ("plaster",), ("carpet", "tiles"))
    _on_wall(backdrop, ("board", "window", "clock"), edge, 2)
    _stand_by(backdrop, ("shelf", "cabinet", "door", "cabinet"), edge, 1 + backdrop.num_props() // 3)
    surface = _sideboard(backdrop, edge)
    paste(backdrop, "books", surface[0] + 0.05, surface[2] + 0.01, 0.12)
    if backdrop.chance(0.5):
        paste(backdrop, "bin", backdrop.span(0, 1), edge + 0.08, 0.2)
    return _stage(edge, surface)


def cafe(backdrop: Backdrop) -> Stage:
    """A cafe or shop with a bar and pendant lamps."""
    edge = _room(backdrop, ("brick", "plaster", "tiles"), ("planks", "tiles", "concrete"))
    _on_wall(backdrop, ("board", "window", "picture"), edge, 2)
    size = backdrop.span(0.38, 0.46)
    foot = edge + 0.06
    x = backdrop.span(0.3, 0.7)
    paste(backdrop, "counter", x, foot, size, stretch=1.2)
    half = 0.85 * size * backdrop.height / backdrop.width
    for place in (0.2, 0.5, 0.8):
        paste(backdrop, "pendant", place + backdrop.span(-0.05, 0.05), backdrop.span(0.12, 0.2), 0.22, shadow=False)
        backdrop.mood.glows.append((place, 0.2, 0.35, (255, 206, 140)))
    return _stage(edge, (x - half, x + half, foot - 0.59 * size))


def studio(backdrop: Backdrop) -> Stage:
    """A plain seamless backdrop."""
    color = np.asarray(pick(backdrop.world.look, backdrop.choose("plaster", "cloth", "concrete"), backdrop.rng, 0.8), np.float32)
    rows = np.linspace(0, 1, backdrop.height, dtype=np.float32)[:, None, None]
    columns = np.linspace(-1, 1, backdrop.width, dtype=np.float32)[None, :, None]
    bright = 1.04 - 0.16 * columns**2 - 0.14 * np.abs(rows - 0.45)
    bend = 0.05 * np.exp(-(((rows - 0.66) / 0.06) ** 2))
    backdrop.canvas[:] = np.clip(color * (bright - bend), 0, 255).astype(np.uint8)
    return Stage(horizon=0.45, ground=(0.72, 0.92), sky=(0.1, 0.5), indoor=True)
