from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from synthseg.embedded.scenes import painter
from synthseg.embedded.scenes.captions import sample_scene
from synthseg.embedded.scenes.grammar import ObjectWish, SceneWish
from synthseg.embedded.scenes.painter import Painting, paint, paint_wish
from synthseg.embedded.scenes.worlds import FIELD, TRAINING
from synthseg.errors import UsageProblem
from synthseg.taxonomy import taxonomy

HONEST = replace(TRAINING, added_probability=0.0, omitted_probability=0.0, deformed_probability=0.0, foreground_probability=0.0)


def test_same_prompt_and_seed_give_the_same_bytes_whatever_came_before() -> None:
    first = paint("two dogs in a park", 7)
    for seed in range(3):
        paint("a red bus on a street at night", seed)
    again = paint("two dogs in a park", 7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.class_ids == again.class_ids


def test_seed_prompt_and_negative_prompt_each_change_the_image() -> None:
    images = {
        paint(prompt, seed, negative_prompt=negative).image.tobytes()
        for prompt, seed, negative in (("a dog", 0, ""), ("a dog", 1, ""), ("one dog", 0, ""), ("a dog", 0, "cat"))
    }
    assert len(images) == 4


def test_size_is_as_asked() -> None:
    painting = paint("a boat on a lake", 0, width=160, height=96)
    assert painting.image.shape == (96, 160, 3)
    assert painting.image.dtype == np.uint8


def test_a_painting_carries_no_mask() -> None:
    assert {f.name for f in fields(Painting)} == {"image", "class_ids", "wish"}
    painting = paint("a dog", 0)
    arrays = [f.name for f in fields(painting) if isinstance(getattr(painting, f.name), np.ndarray)]
    assert arrays == ["image"]
    public = {n for n, v in vars(painter).items() if getattr(v, "__module__", "") == painter.__name__ and not n.startswith("_")}
    assert public == {"Painting", "paint", "paint_wish"}


def test_prompt_without_class_and_place_is_refused() -> None:
    with pytest.raises(UsageProblem, match="names no class and no place the painter knows: 'quarterly earnings'"):
        paint("quarterly earnings", 0)


@pytest.mark.parametrize(("width", "height"), [(16, 128), (128, 4096)])
def test_sizes_out_of_range_are_refused(width: int, height: int) -> None:
    with pytest.raises(UsageProblem, match=r"outside 32\.\.1024"):
        paint("a dog", 0, width=width, height=height)


@pytest.mark.parametrize("name", [c.name for c in taxonomy("voc").classes])
@pytest.mark.parametrize("world", [HONEST, FIELD], ids=["training", "field"])
def test_an_asked_class_is_nearly_always_visible(name: str, world: painter.World) -> None:
    class_id = taxonomy("voc").select([name])[0].class_id
    wish = SceneWish((ObjectWish(name),))
    seen = [paint_wish(wish, seed, world=world).class_ids for seed in range(6)]
    assert sum(class_id in ids for ids in seen) >= 5
    assert all(ids in ((class_id,), ()) for ids in seen)


def test_training_world_slips_as_often_as_it_says() -> None:
    wish = SceneWish((ObjectWish("horse"),), place="meadow")
    horse, total = 13, 120
    seen = [paint_wish(wish, seed, width=64, height=64).class_ids for seed in range(total)]
    missing = sum(horse not in ids for ids in seen) / total
    extra = sum(bool(set(ids) - {horse}) for ids in seen) / total
    assert 0.02 <= missing <= 0.14
    assert 0.11 <= extra <= 0.30


def test_absent_classes_are_never_added() -> None:
    wish = SceneWish((ObjectWish("horse"),), place="meadow", absent=("person",))
    world = replace(TRAINING, added_probability=1.0)
    person = 15
    assert all(person not in paint_wish(wish, seed, width=64, height=64, world=world).class_ids for seed in range(30))


def test_random_scenes_paint_in_both_worlds() -> None:
    rng = np.random.default_rng(3)
    for seed in range(30):
        wish = sample_scene(rng)
        for world in (TRAINING, FIELD):
            image = paint_wish(wish, seed, width=64, height=64, world=world).image
            assert image.std() > 3
