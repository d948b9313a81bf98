"""What a place is painted on, and what it tells the composition about where things can stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.light import Mood
from synthseg.embedded.scenes.worlds import World


@dataclass(slots=True)
class Backdrop:
    """A canvas on its way to becoming a place. Positions are shares of its width and height."""

    canvas: NDArray[np.uint8]
    """(H, W, 3) RGB, painted in place."""
    world: World
    mood: Mood
    rng: np.random.Generator

    @property
    def height(self) -> int:
        """Canvas rows."""
        return int(self.canvas.shape[0])

    @property
    def width(self) -> int:
        """Canvas columns."""
        return int(self.canvas.shape[1])

    def span(self, low: float, high: float) -> float:
        """A uniform draw."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def choose(self, *options: str) -> str:
        """One of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]

    def num_props(self) -> int:
        """How many loose props this world puts into a place."""
        return int(self.rng.integers(self.world.clutter[0], self.world.clutter[1] + 1))


@dataclass(frozen=True, slots=True)
class Stage:
    """Where things can stand, in shares of the canvas height (y down) and width."""

    horizon: float
    ground: tuple[float, float] | None = None
    """Farthest and nearest row for feet."""
    water: tuple[float, float] | None = None
    """Farthest and nearest row for a waterline."""
    sky: tuple[float, float] | None = None
    """Rows between which things fly."""
    surfaces: tuple[tuple[float, float, float], ...] = ()
    """Table-like edges: left, right, row."""
    indoor: bool = False
    foreground: tuple[str, ...] = field(default=())
    """Props that may stand in front of everything."""
