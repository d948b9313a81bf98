"""What the painter can show early: the scene of a picture before anything stands in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.painter.prompts import can_paint
from synthseg.embedded.scenes.casting import choose_place
from synthseg.embedded.scenes.composition import compose
from synthseg.embedded.scenes.grammar import read_prompt
from synthseg.embedded.scenes.painter import MAX_SIDE, MIN_SIDE
from synthseg.embedded.scenes.seeding import painting_rng
from synthseg.embedded.scenes.worlds import TRAINING
from synthseg.engines.image import ImageRequest


def paint_empty_scene(request: ImageRequest) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of the very scene that `request`'s picture will have, in its own light and without its objects.

    The picture draws its place, light and backdrop before its objects from one generator, so both agree up to there. None where
    there will be no picture.
    """
    wish = read_prompt(request.prompt, request.negative_prompt)
    fits = all(MIN_SIDE <= side <= MAX_SIDE for side in (request.width, request.height))
    if not fits or not can_paint(wish):
        return None
    rng = painting_rng(request.prompt, request.negative_prompt, request.seed, request.width, request.height)
    place = choose_place(wish, rng)
    return compose(replace(wish, objects=(), place=place), TRAINING, request.width, request.height, rng).image
