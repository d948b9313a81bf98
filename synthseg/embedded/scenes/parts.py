"""What a body is made of: parts with an outline, a colour role and a surface, painted back to front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from synthseg.embedded.scenes.geometry import Outline

Color = tuple[float, float, float]
"""Red, green, blue in 0..255."""

Texture = Literal["smooth", "fur", "wool", "spots", "stripes", "patches", "wood", "fabric", "metal", "leaf", "feather"]
View = Literal["side", "front", "back", "three_quarter", "top"]
Stand = Literal["ground", "air", "water", "surface"]


@dataclass(slots=True)
class Part:
    """One painted piece of a body."""

    outline: Outline
    """(N, 2) in body units, y up."""
    role: str
    """Key of the body's palette: coat, mane, glass, tyre, ..."""
    bulge: float = 0.6
    """How round the surface is shaded: 0 a flat plate, 1 a ball."""
    shade: float = 1.0
    """Brightness factor: legs and wheels on the far side are below 1."""
    texture: Texture = "smooth"
    texture_strength: float = 0.0
    """Amplitude of the texture, as a share of the brightness."""
    gloss: float = 0.0
    """Strength of the highlight: paint, glass, chrome."""


@dataclass(slots=True)
class Body:
    """One object before it is placed in a scene. Faces right; the scene mirrors it."""

    parts: list[Part]
    """Back to front."""
    palette: dict[str, Color]
    stand: Stand = "ground"
    """Where it belongs: feet on the ground, in the air, floating on water, on a table or shelf."""
    holes: list[Outline] = field(default_factory=list)
    """Openings cut out of the silhouette (a bicycle's wheels are drawn as thin limbs and need none)."""


@dataclass(slots=True)
class BodyRequest:
    """What the scene asks of a body: the prompt's wishes and the world it belongs to."""

    rng: np.random.Generator
    view: View | None = None
    """None lets the body choose among those it has."""
    pose: str | None = None
    """standing, walking, running, sitting, lying, grazing, flying, ...; a body without that pose takes its nearest."""
    color: str | None = None
    """A colour word of `synthseg.embedded.scenes.colors`; None lets the body choose a natural one."""
    field_world: bool = False
    """True for the held-out field split, whose proportions are unlike the training world's."""

    def span(self, low: float, high: float) -> float:
        """A proportion. Training bodies keep to the middle of [low, high]; field bodies to its ends and 20 % beyond."""
        width = high - low
        if not self.field_world:
            return float(self.rng.uniform(low + 0.15 * width, high - 0.15 * width))
        edge = self.rng.uniform(-0.20, 0.15) * width
        return float(low + edge if self.rng.random() < 0.5 else high - edge)

    def choose(self, *options: str) -> str:
        """One of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)


BodyBuilder = Callable[[BodyRequest], Body]
"""A class's builder: body height about 1 unit for its usual pose, feet at y = 0, x centred on 0."""
