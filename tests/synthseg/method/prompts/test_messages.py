from __future__ import annotations

import re

import pytest

from synthseg.config.schema import PromptsConfig
from synthseg.method.prompts.messages import PLACE, rate_request, read_request, write_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import Slots
from synthseg.method.prompts.vocabulary import SCENES
from synthseg.taxonomy import taxonomy

CONFIG = PromptsConfig(engine="llama", prompts_per_class=4, max_words=20)
CAT = taxonomy("voc").by_id(8)


@pytest.mark.parametrize("count", [1, 3])
def test_a_write_request_reads_back(count: int) -> None:
    slots = [Slots("cat", scene="snow")] * count
    ask = read_request(write_request(CONFIG, CAT.prompt_text, profile(CAT), slots, 1))
    assert ask is not None
    assert (ask.task, ask.subject, ask.lines) == ("write", "cat", ("a cat, snow",) * count)


def test_a_rewrite_tells_the_reason_and_reads_back() -> None:
    request = write_request(CONFIG, "cat", profile(CAT), [Slots("cat", scene="snow")], 1, refused="class_missing")
    assert "did not name the cat" in request.messages[-1]["content"]
    ask = read_request(request)
    assert ask is not None
    assert ask.lines == ("a cat, snow",)


def test_schema_holds_a_caption_to_count_class_and_length() -> None:
    request = write_request(CONFIG, "cat", profile(CAT), [Slots("cats", "two", scene="snow")], 1)
    assert request.json_schema is not None
    pattern = re.compile(request.json_schema["pattern"])
    assert pattern.match("Two black cats running in the deep snow.")
    assert not pattern.match("Two black cats running in the deep night.")
    assert not pattern.match("A black cat running in the deep snow.")
    assert not pattern.match("Two black cats" + " run" * 30 + ".")


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_can_be_said_under_its_schema(scene: str) -> None:
    request = write_request(CONFIG, "cat", profile(CAT), [Slots("cat", scene=scene)], 1)
    assert request.json_schema is not None
    caption = f"A small cat sitting {SCENES[scene].removesuffix('s')} far below the old tower."
    assert re.match(request.json_schema["pattern"], caption)


def test_the_worked_example_never_shows_the_class_itself() -> None:
    for info in taxonomy("voc").classes:
        request = write_request(CONFIG, info.prompt_text, profile(info), [Slots(info.display)], 1)
        assert info.display not in request.messages[2]["content"].split()


def test_a_context_request_does_not_name_the_class() -> None:
    train = taxonomy("voc").by_id(19)
    request = write_request(CONFIG, PLACE, profile(train), [Slots("an empty railway track")], 1)
    assert "train" not in " ".join(m["content"] for m in request.messages)


def test_rating_is_greedy_and_asks_for_three_marks() -> None:
    request = rate_request("cat", "A cat in the snow", 1)
    assert request.temperature == 0.0
    assert request.json_schema == {
        "type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "minItems": 3, "maxItems": 3,
    }  # fmt: skip
    ask = read_request(request)
    assert ask is not None
    assert ask.task == "rate"
