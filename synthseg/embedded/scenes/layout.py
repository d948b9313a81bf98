"""Where the actors go: scale by their size in the world and their distance, feet on ground, water, table or in the air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthseg.embedded.scenes.casting import Actor
from synthseg.embedded.scenes.places.stage import Stage
from synthseg.embedded.scenes.raster import Placement
from synthseg.embedded.scenes.worlds import World

_METERS: dict[str, float] = {
    "aeroplane": 4.5, "bicycle": 1.1, "bird": 0.35, "boat": 2.6, "bottle": 0.32, "bus": 3.0, "car": 1.55, "cat": 0.42, "chair": 1.0,
        "cow": 1.5,
    "diningtable": 0.8, "dog": 0.65, "horse": 1.8, "motorbike": 1.2, "person": 1.75, "pottedplant": 0.8, "sheep": 0.9, "sofa": 0.95,
        "train": 3.8,
    "tvmonitor": 0.6,
}  # fmt: skip
_COMPRESSION = 0.38
"""Exponent on real size ratios: pictures that show a bottle and a car together show the bottle larger than life."""
_CROWD = (1.0, 0.94, 0.85, 0.77, 0.70, 0.64)
_SIZE_RANGES = {
    "tiny": (0.12, 0.18),
    "small": (0.20, 0.30),
    "large": (0.62, 0.82),
    "huge": (0.82, 1.05),
    "close": (0.80, 1.10),
    "far": (0.16, 0.26),
}
_POSITIONS = {"left": (0.16, 0.32), "center": (0.45, 0.55), "right": (0.68, 0.84)}
_SEATS: dict[tuple[str, str], tuple[float, float]] = {
    ("person", "horse"): (0.92, 0.30), ("person", "bicycle"): (1.42, 0.16), ("person", "motorbike"): (1.34, 0.14), ("person",
    "sofa"): (1.35, -0.03),
    ("cat", "sofa"): (0.50, 0.44), ("dog", "sofa"): (0.58, 0.44), ("cat", "chair"): (0.42, 0.50), ("dog", "chair"): (0.46, 0.50),
}  # fmt: skip
"""(rider, seat): the rider's unit and the height of its feet, both in units of the seat's body."""


@dataclass(slots=True)
class Spot:
    """One actor's place on the canvas."""

    actor: Actor
    placement: Placement
    depth: float
    """Painting order, far to near."""
    ground: str
    """ground, water, air or surface."""
    plinth: bool = False
    """True where the scene must put something under it."""


def lay_out(
    actors: list[Actor], stage: Stage, world: World, camera: str | None, width: int, height: int, rng: np.random.Generator
) -> list[Spot]:
    """Spots of all actors, far to near, in canvas pixels."""
    loose = [a for a in actors if a.rides is None]
    units = _units(loose, world, camera, width, height, rng)
    spots: list[Spot] = []
    by_actor: dict[int, Spot] = {}
    order = sorted(range(len(loose)), key=lambda i: loose[i].stand == "surface")
    slots = [int(s) for s in rng.permutation(len(loose))]
    for rank, i in enumerate(order):
        actor = loose[i]
        tried: list[tuple[float, int, Spot]] = []
        for attempt in range(8):
            spread = (slots[rank] + rng.uniform(0.15, 0.85)) / len(loose) if attempt < 4 else rng.uniform(0.08, 0.92)
            spot = _spot(actor, units[i], float(spread), stage, spots, width, height, rng)
            cover = max(
                (_cover(spot, other) for other in spots if other.actor.class_name != "diningtable" or spot.ground != "surface"), default=0.0
            )
            tried.append((cover, attempt, spot))
            if cover <= world.overlap * 0.7:
                break
        best = min(tried)[2]
        spots.append(best)
        by_actor[id(actor)] = best
    for actor in actors:
        if actor.rides is not None:
            spots.append(_seated(actor, by_actor[id(actors[actor.rides])], rng))
    return sorted(spots, key=lambda s: s.depth)


def _units(actors: list[Actor], world: World, camera: str | None, width: int, height: int, rng: np.random.Generator) -> list[float]:
    """Pixels of one body unit for each actor, before its distance counts."""
    if not actors:
        return []
    largest = max(_METERS[a.class_name] for a in actors)
    main = float(rng.uniform(*world.object_height)) * _CROWD[len(actors) - 1]
    if camera == "close":
        main = min(main * 1.4, 1.0)
    elif camera == "wide":
        main *= 0.62
    units = []
    for actor in actors:
        share = max(main * (_METERS[actor.class_name] / largest) ** _COMPRESSION, 0.24)
        if actor.wish.size in _SIZE_RANGES:
            low, high = _SIZE_RANGES[actor.wish.size]
            share = float(rng.uniform(low, high)) * (_CROWD[len(actors) - 1] if low > 0.5 else 1.0)
        if actor.wish.position == "background":
            share *= 0.6
        elif actor.wish.position == "foreground":
            share *= 1.25
        room = 1.0 if len(actors) == 1 else 0.76 if len(actors) == 2 else 0.62
        if actor.wish.size in ("close", "huge"):
            room *= 1.3
        widest = room * width * float(rng.uniform(0.72, 1.08))
        tall = share * height / max(1.0, 0.75 * actor.height)
        units.append(min(tall * (1.25 if actor.width > 1.6 else 1.0), widest / max(actor.width, 0.05)))
    return units


def _spot(
    actor: Actor, unit: float, x_share: float, stage: Stage, others: list[Spot], width: int, height: int, rng: np.random.Generator
) -> Spot:
    if actor.wish.position in _POSITIONS:
        x_share = float(rng.uniform(*_POSITIONS[actor.wish.position]))
    ground = _region(actor, stage)
    angle = float(rng.normal(0.0, 0.025))
    unit_now, plinth = unit, False
    if ground == "air":
        low, high = stage.sky or (0.1, 0.6)
        reach = unit * actor.height
        center = float(rng.uniform(low, high)) * height
        feet = min(max(center, 0.35 * reach) + reach / 2, 0.97 * height)
        depth = -1.0 + center / height * 0.1
        angle = float(rng.normal(0.0, 0.09))
    elif ground == "water":
        far, near = stage.water or (0.5, 0.9)
        t = _distance(actor, rng)
        feet = (far + (near - far) * t) * height
        unit_now *= 0.72 + 0.28 * t
        depth = feet / height
        angle *= 0.8
    elif ground == "surface":
        table = next((s for s in others if s.actor.class_name == "diningtable"), None)
        if table is not None:
            half = 0.34 * table.actor.width * table.placement.scale
            x_share = (table.placement.x + float(rng.uniform(-half, half))) / width
            feet = table.placement.y - 0.90 * table.actor.height * table.placement.scale
            unit_now = min(unit_now, 0.55 * table.placement.scale)
            depth = table.depth + 0.001
        elif stage.surfaces and rng.random() < 0.6:
            x0, x1, row = stage.surfaces[0]
            x_share = x0 + (x1 - x0) * (0.2 + 0.6 * x_share)
            feet, depth = (row + 0.008) * height, row * 0.5
            unit_now = min(unit_now, 0.42 * height / max(actor.height, 0.5))
        else:
            far, near = stage.ground or (0.7, 0.95)
            foot = far + (near - far) * float(rng.uniform(0.2, 0.95))
            unit_now = min(unit_now, 0.62 * height / max(actor.height, 0.5))
            feet, depth, plinth = (foot - float(rng.uniform(0.10, 0.2))) * height, foot, True
        angle = 0.0
    else:
        far, near = stage.ground or stage.water or (0.7, 0.95)
        t = _distance(actor, rng)
        tallest = unit * actor.height / height
        t = min(1.0, max(t, 1.3 * (tallest - 0.25)))
        feet = (far + (near - far) * t) * height
        unit_now *= 0.84 + 0.16 * t
        depth = feet / height
    half = actor.width * unit_now / 2
    margin = min(half * (0.88 if rng.random() < 0.75 else 0.55), width / 2)
    x = min(max(x_share * width, margin), width - margin)
    return Spot(actor, Placement(x, feet, unit_now, actor.mirror, angle), depth, ground, plinth)


def _region(actor: Actor, stage: Stage) -> str:
    if actor.stand == "air" and stage.sky is not None:
        return "air"
    if actor.stand == "water" and stage.water is not None:
        return "water"
    if actor.stand == "surface" and stage.ground is not None:
        return "surface"
    if stage.ground is not None:
        return "ground"
    return "water" if stage.water is not None else "air"


def _distance(actor: Actor, rng: np.random.Generator) -> float:
    """0 at the far edge of the region, 1 at the near one."""
    if actor.wish.position == "background" or actor.wish.size == "far":
        return float(rng.uniform(0.0, 0.15))
    if actor.wish.position == "foreground":
        return float(rng.uniform(0.85, 1.0))
    return float(rng.uniform(0.2, 0.95))


def _seated(actor: Actor, seat: Spot, rng: np.random.Generator) -> Spot:
    unit, lift = _SEATS[(actor.class_name, seat.actor.class_name)]
    host = seat.placement
    sideways = float(rng.uniform(-0.28, 0.28)) * seat.actor.width * host.scale if seat.actor.class_name == "sofa" else 0.0
    placement = Placement(host.x + sideways, host.y - lift * host.scale, host.scale * unit, host.mirror, host.angle)
    return Spot(actor, placement, seat.depth + 0.0005, "surface")


def _box(spot: Spot) -> tuple[float, float, float, float]:
    p, a = spot.placement, spot.actor
    return p.x - a.width * p.scale / 2, p.y - a.height * p.scale, p.x + a.width * p.scale / 2, p.y


def _cover(a: Spot, b: Spot) -> float:
    """Overlap of two boxes as a share of the smaller one."""
    ax0, ay0, ax1, ay1 = _box(a)
    bx0, by0, bx1, by1 = _box(b)
    w, h = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / max(min((ax1 - ax0) * (ay1 - ay0), (bx1 - bx0) * (by1 - by0)), 1.0)
