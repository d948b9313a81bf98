"""Random scenes and English captions for them: the text side of the pairs that CLIP learns from."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes import vocabulary as words
from synthseg.embedded.scenes.colors import COLORS
from synthseg.embedded.scenes.grammar import ObjectWish, SceneWish, plural_of
from synthseg.embedded.scenes.plausible import fits

NO_CLASS_SHARE = 0.08
"""Share of the random scenes that show a place and no class."""
_NUM_OBJECTS = ((1, 0.50), (2, 0.30), (3, 0.14), (4, 0.06))
_COUNTS = ((1, 0.74), (2, 0.16), (3, 0.07), (4, 0.03))
_POSES: dict[str, tuple[str, ...]] = {
    "aeroplane": ("flying", "parked"), "bird": ("flying", "standing", "swimming"), "boat": ("sailing", "moored"), "car": ("parked",
        "driving"),
    "bus": ("parked", "driving"), "cat": ("sitting", "lying", "walking", "running"), "cow": ("grazing", "standing", "lying", "walking"),
    "dog": ("sitting", "running", "lying", "standing"), "horse": ("running", "grazing", "standing", "walking"), "motorbike": ("parked",),
    "bicycle": ("parked",), "person": ("standing", "walking", "running", "sitting"), "sheep": ("grazing", "standing", "lying"),
}  # fmt: skip
_PHRASES: dict[str, tuple[str, ...]] = {
    "swimming": ("swimming", "floating"), "lying": ("lying", "resting", "sleeping"), "flying": ("flying", "in flight", "soaring"),
    "moored": ("moored", "docked"), "sitting": ("sitting", "seated"), "running": ("running",),
}  # fmt: skip
_VIEWS = ("side", "front", "back", "three_quarter")
_VIEW_PHRASES = {"side": ("side view", "from the side"), "front": ("front view", "from the front"), "back": ("rear view", "from behind"),
                 "three_quarter": ("three-quarter view", "at an angle"), "top": ("top view", "from above")}  # fmt: skip
_SIZES = ("small", "large", "far", "close")
_POSITIONS = ("left", "right", "center", "foreground", "background")
_POSITION_PHRASES = {
    "left": "on the left",
    "right": "on the right",
    "center": "in the center",
    "foreground": "in the foreground",
    "background": "in the background",
}
_PREPOSITIONS = {"street": "on a", "farm": "on a", "beach": "on the", "sea": "on the", "sky": "in the", "snow": "in the",
    "mountain": "in the", "lake": "by a",
                 "river": "by a", "railway": "at a", "airport": "at an", "market": "at a", "office": "in an", "desert": "in the",
                     "harbor": "in a"}  # fmt: skip
_PLACE_NAMES: dict[str, tuple[str, ...]] = {
    "mountain": ("mountains", "alps"), "railway": ("railway station", "train station", "railway"), "parking": ("parking lot", "car park"),
    "snow": ("snow",), "sky": ("sky", "blue sky"), "sea": ("sea", "ocean"), "desert": ("desert",), "meadow": ("meadow", "pasture", "field"),
    "farm": ("farm", "farmyard", "ranch"), "forest": ("forest", "woodland"), "garden": ("garden", "backyard"), "park": ("park",
        "city park"), "street": ("street", "road"),
    "city": ("city", "metropolis"), "airport": ("airport", "airfield"), "market": ("market", "marketplace"), "lake": ("lake", "pond"),
    "river": ("river", "canal"), "beach": ("beach", "shore"), "harbor": ("harbor", "marina", "port"), "living room": ("living room",
        "lounge"),
    "bedroom": ("bedroom",), "kitchen": ("kitchen",), "dining room": ("dining room",), "office": ("office",), "cafe": ("cafe",
        "restaurant"), "studio": ("studio",),
}  # fmt: skip
_OPENINGS = (
    "",
    "",
    "",
    "a photo of ",
    "a photograph of ",
    "a picture of ",
    "an image of ",
    "a realistic photo of ",
    "a scene with ",
    "a detailed view of ",
)
_NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3", "several"), 4: ("four", "4", "a group of")}
_CLASSES = tuple(words.CLASS_WORDS)


def sample_scene(rng: np.random.Generator) -> SceneWish:
    """A random wish: 1 to 4 objects that could meet, or (8 %) a place with none of the classes."""
    places = tuple(words.PLACE_WORDS)
    light = _maybe(rng, 0.45, tuple(w for w in words.LIGHT_WORDS if w != "studio light"))
    weather = _maybe(rng, 0.2, tuple(words.WEATHER_WORDS))
    camera = _maybe(rng, 0.12, ("wide", "close", "bokeh", "low angle"))
    if rng.random() < NO_CLASS_SHARE:
        return SceneWish((), _one(rng, places), light, weather, camera)
    first = _one(rng, _CLASSES)
    at_home = bool(rng.random() < 0.8)
    place = _one(rng, words.HOME_PLACES[first] if at_home else tuple(p for p in places if fits(first, p)))
    names = [first]
    fellows = [c for c in _CLASSES if c != first and fits(c, place) and (place in words.HOME_PLACES[c] or c in words.COMPANIONS[first])]
    total = _weighted(rng, _NUM_OBJECTS)
    while len(names) < total:
        pool = [c for c in (fellows if rng.random() < 0.85 else _CLASSES) if c not in names]
        if not pool:
            break
        names.append(pool[int(rng.integers(len(pool)))])
    objects = tuple(_object(name, len(names), rng) for name in names)
    return SceneWish(objects, place, light, weather, camera)


def caption(wish: SceneWish, rng: np.random.Generator) -> str:
    """An English caption for a wish; now and then it leaves some of the facts out, never the first object."""
    nouns = [_noun_phrase(o, rng) for i, o in enumerate(wish.objects) if i == 0 or rng.random() < 0.88]
    subject = _joined(nouns, rng)
    where = _where(wish.place, rng) if wish.place is not None and (rng.random() < 0.85 or not nouns) else ""
    extras = _extras(wish, rng)
    if not nouns:
        names = _PLACE_NAMES[wish.place or "meadow"]
        start = _one(
            rng, ("an empty scene {w}", "a view {w}", "a landscape {w}", "{n}", "a photo of {n}", "nobody {w}", "a quiet place {w}")
        )
        text = start.format(w=where, n=_with_article(_one(rng, names)))
    else:
        text = f"{_one(rng, _OPENINGS)}{subject} {where}".strip()
    if extras and rng.random() < 0.2:
        return f"{extras[0]}, {text}" + "".join(f", {e}" for e in extras[1:])
    return text + "".join(f", {e}" for e in extras)


def _object(name: str, company: int, rng: np.random.Generator) -> ObjectWish:
    color = _maybe(rng, 0.3, tuple(COLORS)) if name not in ("tvmonitor", "pottedplant") else None
    return ObjectWish(
        class_name=name,
        count=_weighted(rng, _COUNTS),
        color=color,
        size=_maybe(rng, 0.12, _SIZES),
        pose=_maybe(rng, 0.35, _POSES[name]) if name in _POSES else None,
        view=_maybe(rng, 0.2, _VIEWS),
        position=_maybe(rng, 0.2 if company > 1 else 0.08, _POSITIONS),
    )


def _noun_phrase(wish: ObjectWish, rng: np.random.Generator) -> str:
    names = words.CLASS_WORDS[wish.class_name]
    name = names[0] if rng.random() < 0.6 else _one(rng, names)
    parts = []
    if wish.size in ("small", "large") and rng.random() < 0.8:
        parts.append(wish.size)
    if wish.color is not None and rng.random() < 0.85:
        parts.append(wish.color)
    if wish.count == 1:
        text = _with_article(" ".join([*parts, name]))
    else:
        text = " ".join([_one(rng, _NUMBERS[min(wish.count, 4)]), *parts, plural_of(name)])
    if wish.pose is not None and rng.random() < 0.85:
        text += " " + _one(rng, _PHRASES.get(wish.pose, (wish.pose,)))
    if wish.size == "far" and rng.random() < 0.8:
        text += " in the distance"
    if wish.position is not None and rng.random() < 0.7:
        text += " " + _POSITION_PHRASES[wish.position]
    return text


def _extras(wish: SceneWish, rng: np.random.Generator) -> list[str]:
    found = []
    first = wish.objects[0] if wish.objects else None
    if wish.light is not None and rng.random() < 0.8:
        found.append(_one(rng, words.LIGHT_WORDS[wish.light][:4]))
    if wish.weather is not None and rng.random() < 0.8:
        found.append(_one(rng, words.WEATHER_WORDS[wish.weather][:3]))
    if first is not None and first.view is not None and rng.random() < 0.8:
        found.append(_one(rng, _VIEW_PHRASES[first.view]))
    if wish.camera == "close" or (first is not None and first.size == "close"):
        found.append("close-up")
    elif wish.camera is not None and rng.random() < 0.8:
        found.append({"wide": "wide shot", "bokeh": "blurred background"}.get(wish.camera, wish.camera))
    return found


def _where(place: str, rng: np.random.Generator) -> str:
    name = _one(rng, _PLACE_NAMES[place])
    before = _PREPOSITIONS.get(place, "in a")
    if before[-2:] in (" a", "an"):
        return f"{before.rsplit(' ', 1)[0]} {_with_article(name)}"
    return f"{before} {name}"


def _with_article(name: str) -> str:
    if name in ("snow", "mountains", "alps", "sky", "blue sky", "sea", "ocean"):
        return f"the {name}"
    if name == "cattle":
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def _joined(nouns: list[str], rng: np.random.Generator) -> str:
    if len(nouns) < 2:
        return "".join(nouns)
    link = _one(rng, (" and ", " and ", " with ", " next to ", " near "))
    return ", ".join(nouns[:-1]) + link + nouns[-1]


def _one(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _maybe(rng: np.random.Generator, probability: float, options: tuple[str, ...]) -> str | None:
    return _one(rng, options) if rng.random() < probability else None


def _weighted(rng: np.random.Generator, odds: tuple[tuple[int, float], ...]) -> int:
    return odds[int(rng.choice(len(odds), p=[p for _, p in odds]))][0]
