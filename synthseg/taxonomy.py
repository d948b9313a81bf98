"""Class lists of PASCAL VOC 2012 and MS COCO 2014: ids, names for people and models, and the background's words.

Ids are the benchmarks' own mask values: VOC 1..20, COCO 1..80 (category ids 1..90 with their gaps closed), background 0,
void 255. Display names are what a generator or CLIP understands; a gloss makes an ambiguous name plain ("mouse").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from synthseg import class_words
from synthseg.errors import UsageProblem

BACKGROUND_ID = 0
VOID_ID = 255

TaxonomyName = Literal["voc", "coco"]


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class of a taxonomy."""

    class_id: int
    name: str
    """Canonical name of the benchmark."""
    display: str
    """What a prompt calls it."""
    gloss: str = ""
    """Extra words for prompts where the display name is ambiguous."""
    clip_text: str = ""
    """What CLIP is asked for; the display name when empty."""

    @property
    def prompt_text(self) -> str:
        """Display name, with the gloss where there is one."""
        return f"{self.display} ({self.gloss})" if self.gloss else self.display


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The classes of a benchmark in mask order, and the words of its background."""

    name: TaxonomyName
    classes: tuple[ClassInfo, ...]
    background_words: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of foreground classes K."""
        return len(self.classes)

    def by_id(self, class_id: int) -> ClassInfo:
        """The class with mask value `class_id` (1..K)."""
        return self.classes[class_id - 1]

    def select(self, names: Iterable[str]) -> tuple[ClassInfo, ...]:
        """Classes in mask order, by canonical or display name or a synonym, in singular or plural.

        UsageProblem for a name that means none, with the class it may be meant for, and for two names of one class.
        """
        known = _words(self)
        chosen: dict[int, str] = {}
        for name in names:
            found = next((known[form] for form in class_words.singulars(name) if form in known), None)
            if found is None:
                raise UsageProblem(f"classes: '{name}' is not a class of {self.name}; {self._way_out(name)}")
            if found.class_id in chosen:
                both = sorted({chosen[found.class_id], name})
                given = f"'{both[0]}' is given twice" if len(both) == 1 else f"'{both[0]}' and '{both[1]}' are both {found.name}"
                raise UsageProblem(f"classes: {given}; name each class once")
            chosen[found.class_id] = name
        return tuple(self.by_id(class_id) for class_id in sorted(chosen))

    def _way_out(self, name: str) -> str:
        near = class_words.suggestion(name, {word: c.name for word, c in _words(self).items()})
        return f"did you mean '{near}'?" if near else f"its classes are {', '.join(c.name for c in self.classes)}"


_VOC = (
    ("aeroplane", "airplane", "", "airplane"),
    ("bicycle", "bicycle", "", ""),
    ("bird", "bird", "", "bird avian"),
    ("boat", "boat", "", ""),
    ("bottle", "bottle", "", ""),
    ("bus", "bus", "", ""),
    ("car", "car", "", ""),
    ("cat", "cat", "", ""),
    ("chair", "chair", "", "chair seat"),
    ("cow", "cow", "", ""),
    ("diningtable", "dining table", "", ""),
    ("dog", "dog", "", ""),
    ("horse", "horse", "", ""),
    ("motorbike", "motorcycle", "", ""),
    ("person", "person", "", "person with clothes,people,human"),
    ("pottedplant", "potted plant", "", ""),
    ("sheep", "sheep", "", ""),
    ("sofa", "sofa", "", ""),
    ("train", "train", "", ""),
    ("tvmonitor", "television", "", "tvmonitor screen"),
)

_COCO = (
    ("person", "", "person with clothes,people,human"), ("bicycle", "", ""), ("car", "", ""), ("motorcycle", "", ""),
    ("airplane", "", ""), ("bus", "", ""), ("train", "", ""), ("truck", "", ""), ("boat", "", ""), ("traffic light", "", ""),
    ("fire hydrant", "", ""), ("stop sign", "", ""), ("parking meter", "", ""), ("bench", "", ""), ("bird", "", "bird avian"),
    ("cat", "", ""), ("dog", "", ""), ("horse", "", ""), ("sheep", "", ""), ("cow", "", ""), ("elephant", "", ""),
    ("bear", "", ""), ("zebra", "", ""), ("giraffe", "", ""), ("backpack", "", "backpack,bag"), ("umbrella", "", "umbrella,parasol"),
    ("handbag", "", "handbag,purse"), ("tie", "necktie", "necktie"), ("suitcase", "", ""), ("frisbee", "", ""), ("skis", "", ""),
    ("snowboard", "", ""), ("sports ball", "", ""), ("kite", "flying toy kite", ""), ("baseball bat", "wooden bat", ""),
    ("baseball glove", "", "glove"), ("skateboard", "", ""), ("surfboard", "", ""), ("tennis racket", "", ""), ("bottle", "", ""),
    ("wine glass", "stemmed drinking glass", ""), ("cup", "", ""), ("fork", "", ""), ("knife", "", ""), ("spoon", "", "dessertspoon"),
    ("bowl", "", ""), ("banana", "", ""), ("apple", "the fruit", ""), ("sandwich", "", ""), ("orange", "the fruit", ""),
    ("broccoli", "", ""), ("carrot", "", ""), ("hot dog", "sausage in a bun", ""), ("pizza", "", ""), ("donut", "", ""), ("cake", "", ""),
    ("chair", "", "chair seat"), ("couch", "", ""), ("potted plant", "", ""), ("bed", "", ""), ("dining table", "", ""),
    ("toilet", "", ""), ("tv", "television", "tvmonitor screen"), ("laptop", "", ""), ("mouse", "computer mouse", ""),
    ("remote", "television remote control", "remote control"), ("keyboard", "computer keyboard", ""), ("cell phone", "", ""),
    ("microwave", "", ""), ("oven", "", ""), ("toaster", "", ""), ("sink", "", ""), ("refrigerator", "", ""), ("book", "", ""),
    ("clock", "", ""), ("vase", "", ""), ("scissors", "", ""), ("teddy bear", "", ""), ("hair drier", "", "hairdrier,blowdrier"),
    ("toothbrush", "", ""),
)  # fmt: skip

_BACKGROUND = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway", "railroad",
    "keyboard", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley", "bridge", "sign",
)  # fmt: skip
_COCO_FOREGROUND_WORDS = ("keyboard", "sign")


@cache
def _words(known: Taxonomy) -> dict[str, ClassInfo]:
    """Every normalised word that means a class; a class's own names win over another's synonyms."""
    synonyms = {word: c for c in known.classes for word in class_words.spellings(c.name, c.display)}
    return synonyms | {class_words.normal(word): c for c in known.classes for word in (c.display, c.name)}


@cache
def taxonomy(name: TaxonomyName) -> Taxonomy:
    """The taxonomy of VOC 2012 (20 classes) or COCO 2014 (80). UsageProblem for any other name."""
    if name == "voc":
        classes = tuple(ClassInfo(i, n, d, g, t) for i, (n, d, g, t) in enumerate(_VOC, start=1))
        return Taxonomy("voc", classes, _BACKGROUND)
    if name == "coco":
        classes = tuple(ClassInfo(i, n, n, g, t) for i, (n, g, t) in enumerate(_COCO, start=1))
        return Taxonomy("coco", classes, tuple(w for w in _BACKGROUND if w not in _COCO_FOREGROUND_WORDS))
    raise UsageProblem(f"taxonomy: '{name}' is unknown; use 'voc' or 'coco'")
