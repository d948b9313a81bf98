"""The held-out field split: the embedded stand-in for a benchmark's real photographs, and the only place with masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.captions import caption, sample_scene
from synthseg.embedded.scenes.composition import Scene, compose
from synthseg.embedded.scenes.grammar import ObjectWish, SceneWish
from synthseg.embedded.scenes.places import PLACES
from synthseg.embedded.scenes.plausible import fits
from synthseg.embedded.scenes.vocabulary import HOME_PLACES
from synthseg.embedded.scenes.worlds import FIELD
from synthseg.errors import UsageProblem
from synthseg.taxonomy import VOID_ID, taxonomy

_ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class FieldSample:
    """One image of the field split with its truth."""

    name: str
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    mask: NDArray[np.uint8]
    """(H, W) VOC ids, 0 background, 255 on a one pixel wide border around each object."""
    prompt: str


def field_split(num_images: int, class_ids: Sequence[int], size: int = 128, seed: int = 2012) -> Iterator[FieldSample]:
    """The first `num_images` samples, each class equally often first. UsageProblem as for `field_sample`."""
    return (field_sample(index, class_ids, size, seed) for index in range(num_images))


def field_sample(index: int, class_ids: Sequence[int], size: int = 128, seed: int = 2012) -> FieldSample:
    """Sample `index` of `size` pixels: 1 to 4 objects of `class_ids` (VOC ids). It depends on its arguments alone.

    UsageProblem for an empty list or an id outside 1..20.
    """
    voc = taxonomy("voc")
    if not class_ids or any(not 1 <= c <= voc.num_classes for c in class_ids):
        raise UsageProblem(f"class_ids: {list(class_ids)} must hold at least one id of 1..{voc.num_classes}")
    chosen = sorted(set(class_ids))
    names = tuple(voc.by_id(c).name for c in chosen)
    rng = np.random.default_rng((seed, index, size, *chosen))
    scene, wish = _scene_with(names[index % len(names)], names, index // len(names), size, rng)
    return FieldSample(f"field_{index:06d}", scene.image, _with_void(scene), caption(wish, rng))


def _scene_with(main: str, names: tuple[str, ...], turn: int, size: int, rng: np.random.Generator) -> tuple[Scene, SceneWish]:
    """A scene in which the main class is visible; after a few attempts the last one counts."""
    main_id = taxonomy("voc").select([main])[0].class_id
    for _ in range(_ATTEMPTS):
        wish = _field_wish(main, names, turn, rng)
        scene = compose(wish, FIELD, size, size, rng)
        if main_id in scene.class_ids:
            break
    return scene, wish


def _field_wish(main: str, names: tuple[str, ...], turn: int, rng: np.random.Generator) -> SceneWish:
    """A random wish narrowed to the given classes with `main` first; every fourth turn leaves the class's usual places."""
    drawn = sample_scene(rng)
    while not drawn.objects:
        drawn = sample_scene(rng)
    usual = turn % 4 != 3
    options = HOME_PLACES[main] if usual else tuple(PLACES)
    place = options[int(rng.integers(len(options)))]
    fellows = [n for n in names if n != main and (fits(n, place) or not usual)]
    others = [o for o in drawn.objects if o.class_name in fellows]
    first = replace(drawn.objects[0], class_name=main, pose=None) if drawn.objects[0].class_name != main else drawn.objects[0]
    if rng.random() < 0.35 and fellows and not others:
        others.append(ObjectWish(fellows[int(rng.integers(len(fellows)))]))
    objects: list[ObjectWish] = []
    for wish in (first, *others):
        room = 4 - sum(o.count for o in objects)
        if room > 0:
            objects.append(replace(wish, count=min(wish.count, room)))
    return replace(drawn, objects=tuple(objects), place=place)


def _with_void(scene: Scene) -> NDArray[np.uint8]:
    """The mask with its inner object borders, one pixel wide, set to void."""
    inner = cv2.erode(scene.instances, np.ones((3, 3), np.uint8))
    outer = cv2.dilate(scene.instances, np.ones((3, 3), np.uint8))
    mask = scene.mask.copy()
    mask[(inner != outer) & (scene.instances > 0)] = VOID_ID
    return mask
