from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthseg.embedded.scenes.composition import MIN_VISIBLE_SHARE, compose
from synthseg.embedded.scenes.grammar import ObjectWish, SceneWish
from synthseg.embedded.scenes.light import LIGHTS, WEATHERS
from synthseg.embedded.scenes.places import PLACES
from synthseg.embedded.scenes.worlds import FIELD, TRAINING, World


@pytest.mark.parametrize("world", [TRAINING, FIELD], ids=["training", "field"])
def test_mask_agrees_with_visible_class_ids(world: World) -> None:
    wish = SceneWish((ObjectWish("cow", 2), ObjectWish("person"), ObjectWish("dog")), place="farm")
    for seed in range(12):
        scene = compose(wish, world, 96, 96, np.random.default_rng(seed))
        ids, counts = np.unique(scene.mask, return_counts=True)
        large = {int(i) for i, n in zip(ids, counts, strict=True) if i and n / scene.mask.size >= MIN_VISIBLE_SHARE}
        assert set(scene.class_ids) == large
        assert ((scene.instances > 0) == (scene.mask > 0)).all()


def test_mask_marks_the_pixels_that_the_object_changes() -> None:
    honest = replace(TRAINING, added_probability=0, omitted_probability=0, deformed_probability=0)
    quiet = replace(honest, foreground_probability=0, noise_sigma=0, soft_background=0)
    wish = SceneWish((ObjectWish("bus", color="red"),), place="snow", light="noon", weather="clear")
    for seed in range(6):
        scene = compose(wish, quiet, 128, 128, np.random.default_rng(seed))
        image = scene.image.astype(float)
        redness = image[..., 0] - image[..., 2]
        assert redness[scene.mask == 6].mean() > redness[scene.mask == 0].mean() + 10


@pytest.mark.parametrize("place", PLACES)
def test_every_place_paints_at_every_light(place: str) -> None:
    for number, light in enumerate(LIGHTS):
        wish = SceneWish((), place=place, light=light, weather=WEATHERS[number % len(WEATHERS)])
        scene = compose(wish, FIELD if number % 2 else TRAINING, 48, 48, np.random.default_rng(number))
        assert scene.class_ids == ()
        assert not scene.mask.any()
        assert 5 < scene.image.mean() < 252


def test_night_is_darker_than_noon() -> None:
    def brightness(light: str) -> float:
        images = [compose(SceneWish((), "meadow", light, "clear"), TRAINING, 64, 64, np.random.default_rng(s)).image for s in range(5)]
        return float(np.mean(images))

    assert brightness("night") < 0.6 * brightness("noon")


def test_a_left_object_stays_left_of_a_right_one() -> None:
    wish = SceneWish((ObjectWish("cat", position="left"), ObjectWish("dog", position="right")), place="studio")
    for seed in range(8):
        mask = compose(wish, FIELD, 96, 96, np.random.default_rng(seed)).mask
        cat, dog = np.flatnonzero((mask == 8).any(axis=0)), np.flatnonzero((mask == 12).any(axis=0))
        if cat.size and dog.size:
            assert cat.mean() < dog.mean()
