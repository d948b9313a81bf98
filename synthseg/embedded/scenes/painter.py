"""The embedded image generator: a prompt and a seed become a picture. No mask leaves this module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.composition import compose
from synthseg.embedded.scenes.grammar import SceneWish, read_prompt
from synthseg.embedded.scenes.seeding import painting_rng
from synthseg.embedded.scenes.worlds import TRAINING, World
from synthseg.errors import UsageProblem

MIN_SIDE, MAX_SIDE = 32, 1024


@dataclass(frozen=True, slots=True)
class Painting:
    """A painted picture."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    class_ids: tuple[int, ...]
    """VOC ids of the classes with at least 0.4 % of the pixels. The embedded CLIP is trained on them; no stage of a run reads them."""
    wish: SceneWish
    """What the painter understood of the prompt."""


def paint(prompt: str, seed: int, *, width: int = 128, height: int = 128, negative_prompt: str = "", world: World = TRAINING) -> Painting:
    """Paint a prompt. The same arguments give the same bytes. UsageProblem if the prompt names no class and no place."""
    wish = read_prompt(prompt, negative_prompt)
    if not wish.objects and wish.place is None:
        raise UsageProblem(f"prompt: names no class and no place the painter knows: '{prompt}'")
    return _paint(wish, painting_rng(prompt, negative_prompt, seed, width, height), width, height, world)


def paint_wish(wish: SceneWish, seed: int, *, width: int = 128, height: int = 128, world: World = TRAINING) -> Painting:
    """Paint a wish that needs no reading. The same arguments give the same bytes."""
    return _paint(wish, painting_rng(repr(wish), "", seed, width, height), width, height, world)


def _paint(wish: SceneWish, rng: np.random.Generator, width: int, height: int, world: World) -> Painting:
    for name, side in (("width", width), ("height", height)):
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise UsageProblem(f"{name}: {side} is outside {MIN_SIDE}..{MAX_SIDE} pixels")
    scene = compose(wish, world, width, height, rng)
    return Painting(scene.image, scene.class_ids, wish)
