from __future__ import annotations

import numpy as np
import pytest

from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.quality import Mentions
from synthseg.method.prompts.template import Slots, draw_slots
from synthseg.method.prompts.vocabulary import SCENES
from synthseg.taxonomy import ClassInfo, taxonomy

ALL = [*taxonomy("voc").classes, *taxonomy("coco").classes]


def test_slots_are_said_in_words_and_in_a_sentence() -> None:
    slots = Slots("horses", "two", "brown", "grazing", "a person", "snow", light="dusk", view="side view")
    assert slots.words() == "two brown horses grazing, with a person, snow, dusk, side view"
    assert slots.text() == "a photo of two brown horses grazing with a person in the snow at dusk, side view"
    assert Slots("airplane").text() == "a photo of an airplane"


@pytest.mark.parametrize("info", ALL, ids=lambda c: c.name)
def test_profiles_only_use_known_scenes_and_name_their_class(info: ClassInfo) -> None:
    known = profile(info)
    assert {*known.scenes, *known.unusual_scenes} <= set(SCENES)
    classes = taxonomy("voc").classes if info in taxonomy("voc").classes else taxonomy("coco").classes
    mentions = Mentions(classes)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert mentions.fault(draw_slots(known, "target", rng).text(), info.class_id, "target", known) == ""
        assert mentions.fault(draw_slots(known, "bare", rng).text(), info.class_id, "bare", known) == ""
        assert mentions.fault(draw_slots(known, "context", rng).text(), info.class_id, "context", known) == ""


def test_draws_depend_on_the_generator_and_differ() -> None:
    known = profile(ALL[0])
    draws = [draw_slots(known, "target", np.random.default_rng(seed)) for seed in range(30)]
    assert draws == [draw_slots(known, "target", np.random.default_rng(seed)) for seed in range(30)]
    assert len(set(draws)) > 20
    assert all(not (draw.light and draw.weather) for draw in draws)
