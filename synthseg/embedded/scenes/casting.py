"""Who is in a picture: the wish turned into single objects, with the slips that a generator makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from synthseg.embedded.scenes.bodies import BUILDERS
from synthseg.embedded.scenes.geometry import Outline, scale, shear
from synthseg.embedded.scenes.grammar import ObjectWish, SceneWish
from synthseg.embedded.scenes.parts import Body, BodyRequest, View
from synthseg.embedded.scenes.places import PLACES
from synthseg.embedded.scenes.plausible import fits
from synthseg.embedded.scenes.vocabulary import COMPANIONS, HOME_PLACES
from synthseg.embedded.scenes.worlds import World

MAX_ACTORS = 6
_WATER_PLACES = ("sea", "lake", "river", "beach", "harbor")
_MOUNTS = ("horse", "bicycle", "motorbike")
_PET_SEATS = ("sofa", "chair")


@dataclass(slots=True)
class Actor:
    """One object of the picture, before it has a position."""

    class_name: str
    wish: ObjectWish
    body: Body
    low: tuple[float, float]
    high: tuple[float, float]
    """Bounding box in body units."""
    stand: str
    mirror: bool
    rides: int | None = None
    """Index of the actor it sits on."""

    @property
    def width(self) -> float:
        """Width in body units."""
        return self.high[0] - self.low[0]

    @property
    def height(self) -> float:
        """Height above the feet in body units."""
        return self.high[1]


def choose_place(wish: SceneWish, rng: np.random.Generator) -> str:
    """The wished place, or one where the first object is at home, or any."""
    if wish.place is not None:
        return wish.place
    if wish.objects:
        homes = HOME_PLACES[wish.objects[0].class_name]
        weights = 1.0 / np.arange(1, len(homes) + 1) ** 0.5
        return homes[int(rng.choice(len(homes), p=weights / weights.sum()))]
    names = tuple(PLACES)
    return names[int(rng.integers(len(names)))]


def cast_actors(wish: SceneWish, place: str, world: World, rng: np.random.Generator) -> list[Actor]:
    """The actors of a wish: omissions and unasked companions by the world's odds, then one body each."""
    wishes = list(wish.objects)
    if len(wishes) > 1 and rng.random() < world.omitted_probability:
        wishes.pop(int(rng.integers(len(wishes))))
    elif len(wishes) == 1 and rng.random() < world.omitted_probability:
        wishes = []
    if wishes and rng.random() < world.added_probability:
        host = wishes[int(rng.integers(len(wishes)))]
        present = {w.class_name for w in wishes} | set(wish.absent)
        fitting = [c for c in COMPANIONS[host.class_name] if c not in present and fits(c, place)]
        if fitting:
            wishes.append(ObjectWish(fitting[int(rng.integers(len(fitting)))]))
    singles = [w for w in wishes for _ in range(min(w.count, 5))][:MAX_ACTORS]
    actors: list[Actor] = []
    for one in singles:
        actors.append(_actor(one, {w.class_name for w in wishes}, place, wish.camera, world, rng))
    _link(actors, rng)
    return actors


def _actor(wish: ObjectWish, company: set[str], place: str, camera: str | None, world: World, rng: np.random.Generator) -> Actor:
    view, pose = wish.view, wish.pose
    if view is None and camera == "high angle" and rng.random() < 0.5:
        view = "top" if wish.class_name in ("aeroplane", "boat") else None
    if wish.class_name == "person" and pose == "riding" and company & set(_MOUNTS):
        view = "side"
    if wish.class_name in _MOUNTS and "person" in company and view is None and rng.random() < 0.6:
        view = "side"
    if wish.class_name == "bird" and pose is None and place in _WATER_PLACES and rng.random() < 0.5:
        pose = "swimming"
    if wish.class_name == "bird" and pose is None and place == "sky":
        pose = "flying"
    request = BodyRequest(rng, cast("View | None", view), pose, wish.color, world.look == "field")
    body = BUILDERS[wish.class_name](request)
    if rng.random() < world.deformed_probability:
        _deform(body, rng)
    points = np.concatenate([p.outline for p in body.parts])
    low, high = points.min(axis=0), points.max(axis=0)
    stand = str(body.stand)
    if wish.class_name == "bird" and pose == "flying":
        stand = "air"
    return Actor(
        wish.class_name, wish, body, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])), stand, bool(rng.random() < 0.5)
    )


def _deform(body: Body, rng: np.random.Generator) -> None:
    """Stretch and shear a body the way a generator's worst pictures are."""
    wide = float(rng.uniform(1.45, 1.9) if rng.random() < 0.5 else rng.uniform(0.5, 0.68))
    lean = float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.55))

    def bent(outline: Outline) -> Outline:
        return shear(scale(outline, wide, 1.0), lean)

    for part in body.parts:
        part.outline = bent(part.outline)
    body.holes = [bent(hole) for hole in body.holes]


def _link(actors: list[Actor], rng: np.random.Generator) -> None:
    """Seat riders on mounts and pets or people on sofas."""
    taken: set[int] = set()
    seats: tuple[str, ...]
    for actor in actors:
        if actor.class_name == "person" and actor.wish.pose == "riding":
            seats, odds = _MOUNTS, 1.0
        elif actor.class_name in ("cat", "dog") and actor.wish.pose in (None, "sitting", "lying"):
            seats, odds = _PET_SEATS, 0.5
        elif actor.class_name == "person" and actor.wish.pose == "sitting":
            seats, odds = ("sofa",), 0.8
        else:
            continue
        hosts = [i for i, other in enumerate(actors) if other.class_name in seats and i not in taken]
        if hosts and rng.random() < odds:
            actor.rides = hosts[0]
            actor.mirror = actors[hosts[0]].mirror
            if actor.class_name == "person" and seats == _MOUNTS:
                taken.add(hosts[0])
