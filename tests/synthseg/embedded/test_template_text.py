from __future__ import annotations

import json

import pytest

from synthseg.config.schema import PromptsConfig
from synthseg.embedded.template_text import TemplateEngine
from synthseg.engines.text import TextRequest
from synthseg.method.prompts.messages import PLACE, rate_request, write_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import Slots
from synthseg.method.prompts.vocabulary import SCENES
from synthseg.taxonomy import ClassInfo, taxonomy

CONFIG = PromptsConfig(engine="template", prompts_per_class=4)


def write(info: ClassInfo, seed: int, count: int = 1, refused: str = "") -> TextRequest:
    slots = [Slots(profile(info).nouns[0][0], scene="desert")] * count
    return write_request(CONFIG, info.prompt_text, profile(info), slots, seed, refused=refused)


@pytest.mark.parametrize("info", [*taxonomy("voc").classes, *taxonomy("coco").classes], ids=lambda c: c.name)
def test_every_class_is_named(info: ClassInfo) -> None:
    reply = TemplateEngine().generate([write(info, 3)])[0]
    assert any(form in reply.text for noun in profile(info).nouns for form in noun)


def test_seed_decides_the_draw() -> None:
    horse = taxonomy("voc").classes[12]
    replies = TemplateEngine().generate([write(horse, seed) for seed in (1, 2, 1)])
    assert replies[0] == replies[2] != replies[1]


def test_several_captions_and_rewrites_keep_the_form() -> None:
    horse = taxonomy("voc").classes[12]
    many, again = TemplateEngine().generate([write(horse, 5, count=3), write(horse, 5, refused="low_quality")])
    assert len(json.loads(many.text)["captions"]) == 3
    assert "horse" in json.loads(again.text)


def test_context_request_is_answered_with_its_words() -> None:
    slots = [Slots("an empty railway track", light="dusk")]
    train = taxonomy("voc").classes[18]
    reply = TemplateEngine().generate([write_request(CONFIG, PLACE, profile(train), slots, 1)])[0]
    assert json.loads(reply.text) == "a photo of an empty railway track, dusk"


def test_marks_are_full_and_strange_requests_get_nothing() -> None:
    marks, strange, empty = TemplateEngine().generate(
        [rate_request("horse", "A horse.", 1), TextRequest(({"role": "user", "content": "hi"},), seed=1), TextRequest((), seed=1)]
    )
    assert json.loads(marks.text) == [5, 5, 5]
    assert strange.text == empty.text == ""


def test_a_bare_request_gets_an_unusual_scene() -> None:
    horse = taxonomy("voc").classes[12]
    replies = TemplateEngine().generate([write(horse, seed) for seed in range(8)])
    assert all(any(SCENES[scene] in r.text for scene in profile(horse).unusual_scenes) for r in replies)
