"""What people call the classes of VOC and COCO: words that mean a class, and words that come near one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

_SAME: Final = (
    ("person", "people", "human", "human being", "man", "men", "woman", "women", "child", "children", "boy", "girl", "pedestrian", "folk"),
    ("aeroplane", "airplane", "plane", "aircraft", "air plane"),
    ("bicycle", "bike", "cycle", "pushbike", "push bike"),
    ("motorbike", "motorcycle", "motor bike", "motor cycle"),
    ("car", "automobile", "auto"),
    ("bus", "autobus", "omnibus"),
    ("cow", "cattle"),
    ("sofa", "couch", "settee"),
    ("diningtable", "dining table", "table", "dinner table"),
    ("pottedplant", "potted plant", "plant", "pot plant", "houseplant", "house plant", "indoor plant"),
    ("tvmonitor", "tv", "television", "tv monitor", "monitor", "telly", "tv set", "television set", "tv screen"),
    ("train", "railway train"),
    ("fire hydrant", "hydrant"),
    ("stop sign", "stopsign"),
    ("traffic light", "traffic signal", "stoplight", "stop light"),
    ("backpack", "rucksack", "knapsack"),
    ("handbag", "hand bag", "purse"),
    ("tie", "necktie", "neck tie"),
    ("sports ball", "sport ball", "ball"),
    ("skis", "ski", "pair of skis"),
    ("wine glass", "wineglass"),
    ("donut", "doughnut"),
    ("hot dog", "hotdog"),
    ("cup", "mug"),
    ("cell phone", "phone", "mobile phone", "cellular phone", "smartphone", "mobile", "telephone"),
    ("laptop", "notebook computer", "laptop computer"),
    ("mouse", "mice", "computer mouse", "computer mice"),
    ("keyboard", "computer keyboard"),
    ("remote", "remote control"),
    ("microwave", "microwave oven"),
    ("refrigerator", "fridge"),
    ("teddy bear", "teddy"),
    ("hair drier", "hair dryer", "blow dryer", "blow drier"),
    ("toothbrush", "tooth brush"),
    ("tennis racket", "tennis racquet", "racket", "racquet"),
    ("baseball glove", "baseball mitt"),
    ("truck", "lorry"),
)  # fmt: skip
"""One group a class: its names in both benchmarks, and words that mean just the same. In the singular, but for irregular plurals."""

_NEAR: Final[Mapping[str, tuple[str, ...]]] = {
    "person": ("baby", "adult", "kid", "crowd", "guy", "lady", "face", "rider", "cyclist"),
    "aeroplane": ("jet", "airliner", "helicopter", "glider", "biplane"),
    "bicycle": ("tricycle", "mountain bike"),
    "bird": ("duck", "eagle", "gull", "seagull", "parrot", "pigeon", "sparrow", "chicken", "hen", "owl", "swan", "goose", "penguin"),
    "boat": ("ship", "sailboat", "yacht", "canoe", "ferry", "kayak", "motorboat"),
    "bottle": ("flask", "jar"),
    "bus": ("coach", "minibus", "trolleybus"),
    "car": ("taxi", "cab", "sedan", "suv", "van", "vehicle", "pickup", "jeep"),
    "cat": ("kitten", "kitty", "feline"),
    "chair": ("armchair", "stool", "seat"),
    "cow": ("bull", "calf", "ox", "oxen", "buffalo", "bison"),
    "diningtable": ("desk",),
    "dog": ("puppy", "hound", "poodle", "terrier", "labrador", "canine"),
    "horse": ("pony", "foal", "mare", "stallion", "donkey"),
    "motorbike": ("scooter", "moped"),
    "pottedplant": ("flower", "flowerpot", "flower pot", "bonsai", "cactus", "shrub"),
    "sheep": ("lamb", "ram", "ewe", "goat"),
    "sofa": ("loveseat", "divan"),
    "train": ("locomotive", "tram", "metro", "subway"),
    "tvmonitor": ("screen", "display", "computer screen"),
    "truck": ("van", "pickup", "tractor"),
    "sports ball": ("football", "soccer ball", "basketball", "volleyball", "tennis ball", "baseball"),
    "suitcase": ("luggage", "trunk"),
    "cell phone": ("iphone",),
    "laptop": ("computer", "notebook"),
    "bed": ("bunk",),
    "sink": ("basin", "washbasin"),
    "clock": ("watch", "alarm clock"),
    "knife": ("blade",),
    "umbrella": ("parasol",),
    "oven": ("stove", "cooker"),
    "cup": ("glass", "teacup"),
    "orange": ("tangerine", "mandarin"),
}  # fmt: skip
"""Words that are not the class and may stand for what is meant; they are suggested and never taken."""

_FLOOR: Final = 0.6
"""Likeness of spelling (difflib's ratio) under which a suggestion would only puzzle."""


def spellings(*names: str) -> Iterator[str]:
    """Every word, normalised, that means just what one of `names` means."""
    own = {normal(name) for name in names}
    yield from own
    for group in _SAME:
        words = {normal(word) for word in group}
        if words & own:
            yield from words - own


def normal(word: str) -> str:
    """One form for upper and lower case, and for spaces, hyphens, underscores and none of them."""
    return "".join(word.replace("_", " ").replace("-", " ").casefold().split())


def singulars(word: str) -> Iterator[str]:
    """`word`, normalised, then what it may be the plural of."""
    found = normal(word)
    yield found
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "fe"), ("men", "man")):
        if found.endswith(ending) and len(found) > len(ending) + 1:
            yield found.removesuffix(ending) + instead


def suggestion(word: str, known: Mapping[str, str]) -> str:
    """The class that `word` may be meant for, by meaning first and by spelling then; empty where nothing is like it.

    `known` gives the class of every normalised word that means one.
    """
    forms = list(singulars(word))
    for name, words in _NEAR.items():
        owner = next((known[spelling] for spelling in spellings(name) if spelling in known), "")
        if owner and {normal(near) for near in words} & set(forms):
            return owner
    close = difflib.get_close_matches(forms[0], known, n=1, cutoff=_FLOOR)
    return known[close[0]] if close else ""
