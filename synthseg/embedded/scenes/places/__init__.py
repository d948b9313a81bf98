"""The kinds of place the painter knows, each with a sky or walls, a ground and clutter of its own."""

from __future__ import annotations

from collections.abc import Callable

from synthseg.embedded.scenes.places import indoors, outdoors, town, water_sky
from synthseg.embedded.scenes.places.stage import Backdrop, Stage

PlacePainter = Callable[[Backdrop], Stage]

PLACES: dict[str, PlacePainter] = {
    "meadow": outdoors.meadow,
    "farm": outdoors.farm,
    "forest": outdoors.forest,
    "mountain": outdoors.mountain,
    "desert": outdoors.desert,
    "snow": outdoors.snow,
    "garden": outdoors.garden,
    "park": outdoors.park,
    "street": town.street,
    "city": town.city,
    "railway": town.railway,
    "airport": town.airport,
    "parking": town.parking,
    "market": town.market,
    "sea": water_sky.sea,
    "lake": water_sky.lake,
    "river": water_sky.river,
    "beach": water_sky.beach,
    "harbor": water_sky.harbor,
    "sky": water_sky.sky,
    "living room": indoors.living_room,
    "bedroom": indoors.bedroom,
    "kitchen": indoors.kitchen,
    "dining room": indoors.dining_room,
    "office": indoors.office,
    "cafe": indoors.cafe,
    "studio": indoors.studio,
}
"""Painters by canonical place word; each paints the whole canvas and returns its stage."""

INDOOR_PLACES: tuple[str, ...] = ("living room", "bedroom", "kitchen", "dining room", "office", "cafe", "studio")
