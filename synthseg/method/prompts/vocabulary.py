"""The words of the template T(c): plain words that diffusion models, CLIP and the painter all know, and how to find them in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

SCENES: Mapping[str, str] = {
    "street": "on a city street",
    "meadow": "in a green meadow",
    "farm": "on a farm",
    "sea": "on the sea",
    "lake": "by a lake",
    "sky": "in the blue sky",
    "snow": "in the snow",
    "beach": "on a sandy beach",
    "forest": "in a forest",
    "mountain": "in the mountains",
    "kitchen": "in a kitchen",
    "living room": "in a living room",
    "office": "in an office",
    "city at night": "in a city at night",
    "railway station": "at a railway station",
    "airport": "at an airport",
    "desert": "in the desert",
    "garden": "in a garden",
    "park": "in a park",
}
"""Scene to the phrase that places a subject in it."""

LIGHTS: Mapping[str, str] = {
    "sunrise": "at sunrise",
    "golden hour": "in golden hour light",
    "noon": "at noon",
    "overcast": "under an overcast sky",
    "dusk": "at dusk",
    "night": "at night",
    "backlit": "backlit by the sun",
}
WEATHERS: Mapping[str, str] = {
    "rain": "in the rain",
    "snowfall": "in falling snow",
    "fog": "in fog",
    "clear": "under a clear sky",
    "cloudy": "under a cloudy sky",
}
VIEWS: Mapping[str, str] = {
    "side view": "side view",
    "front view": "front view",
    "back view": "seen from the back",
    "three-quarter view": "three-quarter view",
    "from above": "seen from above",
}
SCALES: Mapping[str, str] = {"close-up": "close-up", "far away": "far away", "wide shot": "wide shot", "medium shot": "medium shot"}
CAMERAS: tuple[str, ...] = ("shallow depth of field", "wide-angle lens", "telephoto lens", "sharp focus", "film grain")
COUNTS: tuple[str, ...] = ("one", "two", "three", "several")

INDOOR_SCENES = frozenset({"kitchen", "living room", "office"})

_SIGNS: Mapping[str, str] = {
    "street": r"streets?|roads?",
    "meadow": r"meadows?|fields?|grass|pasture",
    "farm": r"farms?|barn|farmyard",
    "sea": r"sea|ocean|waves",
    "lake": r"lakes?|river|pond",
    "sky": "sky|skies",
    "snow": r"snow|snowy|snow-covered",
    "beach": r"beach|sand|sandy|shore",
    "forest": r"forests?|woods|trees",
    "mountain": r"mountains?|hills?",
    "kitchen": r"kitchen",
    "living room": r"living room|room|lounge",
    "office": r"office|desk",
    "city at night": r"city",
    "railway station": r"railway|station|platform",
    "airport": r"airport|runway",
    "desert": r"desert|dunes?",
    "garden": r"garden|backyard|yard",
    "park": r"parks?",
    "sunrise": r"sunrise|dawn|morning",
    "golden hour": r"golden",
    "noon": r"noon|midday|sunny|daylight",
    "overcast": r"overcast|gr[ae]y sky",
    "dusk": r"dusk|sunset|twilight|evening",
    "night": r"nights?|moonlight|moonlit",
    "backlit": r"backlit|silhouette",
    "rain": r"rain|rainy|wet",
    "snowfall": r"snowfall|falling snow",
    "fog": r"fog|foggy|mist|misty",
    "clear": r"clear",
    "cloudy": r"clouds?|cloudy",
    "side view": r"side view|from the side|side",
    "front view": r"front view|front",
    "back view": r"back view|behind|the back",
    "three-quarter view": r"three-quarter",
    "from above": r"above|aerial|overhead",
    "close-up": r"close-?up|close up",
    "far away": r"far away|distant|distance|far",
    "wide shot": r"wide",
    "medium shot": r"medium",
}


@cache
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_SIGNS.get(word, re.escape(word))})\b")


def says(text: str, word: str) -> bool:
    """Whether `text` (lower case) speaks of the vocabulary word, by itself or by a common synonym."""
    return _pattern(word).search(text) is not None


def scene_signs(scene: str) -> str:
    """The words that say `scene`, singular, as a plain alternation for the grammar of a reply."""
    return _SIGNS[scene].replace("s?", "")
