"""Prompt-space exploration: count what the memory says least of, per axis of T(c), and ask for exactly that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from synthseg.method.prompts.profiles import ClassProfile
from synthseg.method.prompts.template import Kind, Slots, draw_slots, subject
from synthseg.method.prompts.vocabulary import COUNTS, LIGHTS, SCALES, VIEWS, WEATHERS, says

_NONE = ""
_COMPANION_SHARE = 0.7
"""Share of the proposals that ask for company. Benchmarks show several classes an image; generated images tend to show one."""


class Coverage:
    """How often the accepted prompts of one class say each value of scene, air (light or weather), view, company and count."""

    def __init__(self, class_profile: ClassProfile, texts: Iterable[str]) -> None:
        self._profile = class_profile
        self._axes: dict[str, tuple[str, ...]] = {
            "scene": class_profile.scenes,
            "unusual": class_profile.unusual_scenes,
            "air": (*LIGHTS, *WEATHERS),
            "view": (*VIEWS, *SCALES),
            "companion": (_NONE, *class_profile.companions),
            "count": COUNTS,
            "pose": class_profile.poses,
            "look": class_profile.looks,
        }
        self._counts = {axis: Counter[str]() for axis in self._axes}
        for text in texts:
            self._count(text.lower())

    def least(self, axis: str, rng: np.random.Generator) -> str:
        """The value of `axis` seen least, ties drawn; it counts as seen once more from now on, so a round spreads its requests."""
        counts = self._counts[axis]
        fewest = min(counts[value] for value in self._axes[axis])
        ties = [value for value in self._axes[axis] if counts[value] == fewest]
        value = ties[int(rng.integers(len(ties)))]
        counts[value] += 1
        return value

    def propose(self, kind: Kind, rng: np.random.Generator) -> Slots:
        """A filling of T(c) that asks for what is missing. Context prompts keep a plain draw with the least seen air."""
        drawn = draw_slots(self._profile, kind, rng)
        air = self.least("air", rng)
        light, weather = (air, "") if air in LIGHTS else ("", air)
        if kind == "context":
            return replace(drawn, light=light, weather=weather)
        # One plural in three: a single object fills most photos, and small models lose count.
        count = "one" if rng.random() < 0.6 else self.least("count", rng)
        view = self.least("view", rng) if rng.random() < 0.5 else ""
        companion = self.least("companion", rng) if kind == "target" and rng.random() < _COMPANION_SHARE else ""
        return Slots(
            subject=subject(self._profile, count),
            count=count,
            look=self.least("look", rng),
            pose=self.least("pose", rng),
            companion=companion,
            scene=self.least("unusual" if kind == "bare" else "scene", rng),
            light=light,
            weather=weather,
            view=view if view in VIEWS else "",
            scale=view if view in SCALES else "",
        )

    def _count(self, text: str) -> None:
        for axis, values in self._axes.items():
            said = [value for value in values if value and says(text, value.removeprefix("a ").removeprefix("an "))]
            if axis == "count":
                said = said or ["one"]
            elif axis == "companion":
                said = said or [_NONE]
            self._counts[axis].update(said)
