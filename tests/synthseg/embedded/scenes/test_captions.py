from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.captions import caption, sample_scene
from synthseg.embedded.scenes.grammar import read_prompt
from synthseg.taxonomy import taxonomy


def test_samples_cover_all_classes_and_leave_some_scenes_empty() -> None:
    rng = np.random.default_rng(0)
    wishes = [sample_scene(rng) for _ in range(1500)]
    named = {o.class_name for w in wishes for o in w.objects}
    empty = sum(not w.objects for w in wishes) / len(wishes)
    assert named == {c.name for c in taxonomy("voc").classes}
    assert 0.05 <= empty <= 0.11
    assert {len(w.objects) for w in wishes} == {0, 1, 2, 3, 4}


def test_a_caption_reads_back_as_part_of_its_scene() -> None:
    rng = np.random.default_rng(1)
    for _ in range(600):
        wish = sample_scene(rng)
        text = caption(wish, rng)
        read = read_prompt(text)
        asked, found = {o.class_name for o in wish.objects}, {o.class_name for o in read.objects}
        assert found <= asked, text
        assert not wish.objects or wish.objects[0].class_name in found, text
        assert wish.objects or read.place is not None, text


def test_captions_vary() -> None:
    rng = np.random.default_rng(2)
    wish = sample_scene(np.random.default_rng(8))
    assert len({caption(wish, rng) for _ in range(60)}) > 15
