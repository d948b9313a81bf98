from __future__ import annotations

import pytest

from synthseg.embedded.scenes.colors import COLORS
from synthseg.embedded.scenes.grammar import ObjectWish, plural_of, read_prompt
from synthseg.embedded.scenes.light import LIGHTS
from synthseg.embedded.scenes.places import PLACES
from synthseg.embedded.scenes.vocabulary import CLASS_WORDS, COLOR_WORDS, COMPANIONS, HOME_PLACES, LIGHT_WORDS, PLACE_WORDS
from synthseg.taxonomy import taxonomy

OBJECTS = [
    ("two small brown dogs and a red car on a street at night", [ObjectWish("dog", 2, "brown", "small"), ObjectWish("car", 1, "red")]),
    ("a photo of an airplane", [ObjectWish("aeroplane")]),
    ("a jet flying over the sea", [ObjectWish("aeroplane", pose="flying")]),
    ("a pair of bikes", [ObjectWish("bicycle", 2)]),
    ("3 kittens sleeping on a gray couch", [ObjectWish("cat", 3, pose="lying"), ObjectWish("sofa", 1, "gray")]),
    ("a herd of cows grazing in a meadow", [ObjectWish("cow", 4, pose="grazing")]),
    ("a flock of sheep", [ObjectWish("sheep", 4)]),
    ("several lambs", [ObjectWish("sheep", 3)]),
    ("a calf", [ObjectWish("cow")]),
    ("a woman riding a white horse on a beach", [ObjectWish("person", pose="riding"), ObjectWish("horse", 1, "white")]),
    ("a crowd of people at a train station", [ObjectWish("person", 4)]),
    ("a couple of birds flying", [ObjectWish("bird", 2, pose="flying")]),
    ("a running horse and a sitting dog", [ObjectWish("horse", pose="running"), ObjectWish("dog", pose="sitting")]),
    ("front view of a blue bus parked on a street", [ObjectWish("bus", 1, "blue", pose="parked", view="front")]),
    ("a motorcycle, side view", [ObjectWish("motorbike")]),
    ("a boat seen from behind", [ObjectWish("boat", view="back")]),
    ("a cat on the left and a dog on the right", [ObjectWish("cat", position="left"), ObjectWish("dog", position="right")]),
    ("a tv in the background", [ObjectWish("tvmonitor", position="background")]),
    ("a bottle of wine on a wooden table", [ObjectWish("bottle"), ObjectWish("diningtable")]),
    ("a potted plant next to an armchair", [ObjectWish("pottedplant"), ObjectWish("chair")]),
    ("a train in the distance", [ObjectWish("train", size="far")]),
    ("two red and white buses", [ObjectWish("bus", 2, "red")]),
    ("A horse stands in a field. The horse is running.", [ObjectWish("horse", pose="standing")]),
    ("a brown horse and a black horse", [ObjectWish("horse", 1, "brown"), ObjectWish("horse", 1, "black")]),
    ("a dog house in a garden", []),
    ("a car park at noon", []),
    ("a bird house near a cat tree", []),
    ("a red barn with a cow", [ObjectWish("cow")]),
    ("a huge golden retriever", [ObjectWish("dog", size="huge")]),
    ("An old sedan, its red paint gleaming; pedestrians walking", [ObjectWish("car"), ObjectWish("person", 2, pose="walking")]),
]


@pytest.mark.parametrize(("prompt", "objects"), OBJECTS)
def test_objects_of_prompt(prompt: str, objects: list[ObjectWish]) -> None:
    found = list(read_prompt(prompt).objects)
    if prompt in ("a motorcycle, side view", "An old sedan, its red paint gleaming; pedestrians walking"):
        assert [(o.class_name, o.count) for o in found] == [(o.class_name, o.count) for o in objects]
    else:
        assert found == objects


@pytest.mark.parametrize(
    ("prompt", "place", "light", "weather"),
    [
        ("a dog on a street at night", "street", "night", None),
        ("a horse stable at sunset", "farm", "golden hour", None),
        ("a car park in the rain", "parking", None, "rain"),
        ("a bus under a blue sky on a road, foggy morning", "street", "sunrise", "fog"),
        ("a sheep in a snowy meadow", "meadow", None, "snow"),
        ("a plane high in the sky", "sky", None, None),
        ("a chair in a sunlit living room, soft light", "living room", "soft light", None),
        ("a night city", "city", "night", None),
    ],
)
def test_scene_of_prompt(prompt: str, place: str, light: str | None, weather: str | None) -> None:
    wish = read_prompt(prompt)
    assert (wish.place, wish.light, wish.weather) == (place, light, weather)


@pytest.mark.parametrize(
    ("prompt", "absent"),
    [
        ("a meadow without a horse", ("horse",)),
        ("a street with no people and no cars", ("person", "car")),
        ("an empty street", ("person",)),
        ("a farm without any sheep or cows", ("sheep", "cow")),
        ("a park free of dogs", ("dog",)),
    ],
)
def test_absent_classes(prompt: str, absent: tuple[str, ...]) -> None:
    wish = read_prompt(prompt)
    assert wish.absent == absent
    assert not wish.objects


def test_negative_prompt_removes_a_class() -> None:
    wish = read_prompt("a dog and a cat in a park", negative_prompt="cat, blurry")
    assert [o.class_name for o in wish.objects] == ["dog"]
    assert wish.absent == ("cat",)


def test_unknown_content_words_are_reported_once_and_in_order() -> None:
    assert read_prompt("a zorgle dog with a quantum zorgle in a park").not_understood == ("zorgle", "quantum")


def test_every_class_is_read_by_every_name_in_singular_and_plural() -> None:
    for name, names in CLASS_WORDS.items():
        for word in names:
            assert [o.class_name for o in read_prompt(f"one {word}").objects] == [name], word
            assert [(o.class_name, o.count) for o in read_prompt(f"three {plural_of(word)}").objects] == [(name, 3)], word


def test_tables_use_one_vocabulary() -> None:
    names = {c.name for c in taxonomy("voc").classes}
    assert set(CLASS_WORDS) == set(HOME_PLACES) == set(COMPANIONS) == names
    assert set(PLACE_WORDS) == set(PLACES)
    assert set(LIGHT_WORDS) == set(LIGHTS)
    assert set(COLOR_WORDS.values()) == set(COLORS)
    assert {p for homes in HOME_PLACES.values() for p in homes} <= set(PLACES)
