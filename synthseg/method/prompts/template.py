"""T(c), the structured template of the paper's Algorithm 1, as data: slots with values, drawn with a generator, said as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthseg.method.prompts.profiles import ClassProfile
from synthseg.method.prompts.vocabulary import CAMERAS, COUNTS, INDOOR_SCENES, LIGHTS, SCALES, SCENES, VIEWS, WEATHERS

Kind = Literal["target", "context", "bare"]


@dataclass(frozen=True, slots=True)
class Slots:
    """One filling of T(c). An empty string leaves a slot open."""

    subject: str
    """The class's noun in the number of `count`, or the place of a context prompt."""
    count: str = "one"
    look: str = ""
    pose: str = ""
    companion: str = ""
    scene: str = ""
    light: str = ""
    weather: str = ""
    view: str = ""
    scale: str = ""
    camera: str = ""

    def head(self) -> str:
        """Count, look, subject and pose: "two brown horses grazing"."""
        words = " ".join(filter(None, (self.look, self.subject)))
        if self.count == "one":
            words = words if words.startswith(("a ", "an ")) else f"{article(words)} {words}"
        elif self.count:
            words = f"{self.count} {words}"
        return f"{words} {self.pose}".strip()

    def words(self) -> str:
        """The slots as the comma list an LLM is given to write from."""
        company = f"with {self.companion}" if self.companion else ""
        rest = (company, self.scene, self.light, self.weather, self.view, self.scale, self.camera)
        return ", ".join(filter(None, (self.head(), *rest)))

    def text(self) -> str:
        """The slots as a prompt: what the template control answers."""
        company = f"with {self.companion}" if self.companion else ""
        place, light, weather = SCENES.get(self.scene, self.scene), LIGHTS.get(self.light, ""), WEATHERS.get(self.weather, "")
        sentence = " ".join(filter(None, ("a photo of", self.head(), company, place, light, weather)))
        tail = (VIEWS.get(self.view, ""), SCALES.get(self.scale, ""), self.camera)
        return ", ".join(filter(None, (sentence, *tail)))


def article(words: str) -> str:
    """The indefinite article of `words`."""
    return "an" if words[:1] in "aeio" else "a"


def draw_slots(profile: ClassProfile, kind: Kind, rng: np.random.Generator) -> Slots:
    """One draw of T(c): the scene always, each other slot with a fixed chance, light and weather never both."""
    if kind == "context":
        return _with_air(Slots(subject=_pick(rng, profile.contexts)), rng, indoor=False)
    count = COUNTS[int(rng.choice(len(COUNTS), p=(0.6, 0.2, 0.1, 0.1)))]
    scene = _pick(rng, profile.unusual_scenes if kind == "bare" else profile.scenes)
    slots = Slots(
        subject=subject(profile, count),
        count=count,
        look=_pick(rng, profile.looks) if rng.random() < 0.6 else "",
        pose=_pick(rng, profile.poses) if rng.random() < 0.7 else "",
        companion=_pick(rng, profile.companions) if kind == "target" and rng.random() < 0.25 else "",
        scene=scene,
    )
    return _with_air(slots, rng, indoor=scene in INDOOR_SCENES)


def subject(profile: ClassProfile, count: str) -> str:
    """What the prompt calls the class, in the number of `count`."""
    singular, plural = profile.nouns[0]
    return singular if count == "one" else plural


def _with_air(slots: Slots, rng: np.random.Generator, indoor: bool) -> Slots:
    """`slots` with light or weather, and at most one of view, scale and camera."""
    light = weather = view = scale = camera = ""
    draw = rng.random()
    if draw < 0.6 or (indoor and draw < 0.85):
        light = _pick(rng, tuple(LIGHTS))
    elif draw < 0.85:
        weather = _pick(rng, tuple(WEATHERS))
    draw = rng.random()
    if slots.scene and draw < 0.4:
        view = _pick(rng, tuple(VIEWS))
    elif draw < 0.65:
        scale = _pick(rng, tuple(SCALES))
    elif draw < 0.75:
        camera = _pick(rng, CAMERAS)
    return Slots(slots.subject, slots.count, slots.look, slots.pose, slots.companion, slots.scene, light, weather, view, scale, camera)


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]
