"""Which class can be met in which place; what nobody asked for must at least be able to get there."""

from __future__ import annotations

from synthseg.embedded.scenes.places import INDOOR_PLACES

_NEVER_INDOORS = ("aeroplane", "bus", "boat", "car", "cow", "horse", "motorbike", "train", "sheep")
_NEVER_OUTDOORS = ("sofa", "tvmonitor")
_WATER_PLACES = ("sea", "lake", "river", "beach", "harbor")
_RAIL_PLACES = ("railway", "mountain", "snow", "city", "meadow", "desert")


def fits(class_name: str, place: str) -> bool:
    """Whether a class could be at a place at all."""
    if place in INDOOR_PLACES:
        return class_name not in _NEVER_INDOORS
    if place in ("sea", "sky"):
        return class_name in ("bird", "aeroplane") or (class_name == "boat" and place == "sea")
    if class_name == "boat":
        return place in _WATER_PLACES
    if class_name == "train":
        return place in _RAIL_PLACES
    return class_name not in _NEVER_OUTDOORS
