from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from synthseg.config.loading import load_config
from synthseg.config.schema import PromptsConfig
from synthseg.engines.image import PromptRefusal
from synthseg.engines.llama.engine import LlamaEngine
from synthseg.engines.text import TextReply, TextRequest
from synthseg.method.prompts.messages import read_request
from synthseg.method.prompts.refine import NUM_CANDIDATES, PromptRefiner, Refinement
from synthseg.taxonomy import taxonomy

VOC = taxonomy("voc")
HORSE, CAR = VOC.by_id(13), VOC.by_id(7)
CONFIG = PromptsConfig(engine="template", prompts_per_class=1, max_words=20)


class Writer:
    """Writes the captions it was given, one a request, and gives each the marks of `marks` (5 for what is not listed)."""

    def __init__(self, captions: Sequence[str], marks: dict[str, int]) -> None:
        self._captions = list(captions)
        self._marks = marks
        self.requests: list[TextRequest] = []

    def __call__(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        self.requests += requests
        return [TextReply(self._answer(request), "stop", 1, 1) for request in requests]

    def _answer(self, request: TextRequest) -> str:
        ask = read_request(request)
        if ask is not None and ask.task == "write":
            return f'{{"caption":"{self._captions.pop(0)}"}}'
        rated = request.messages[-1]["content"].split('"')[1]
        mark = self._marks.get(rated, 5)
        return f"[{mark},{mark},{mark}]"


def refined(scorer: Any, prompt: str, captions: Sequence[str], marks: dict[str, int], classes: Sequence[Any] = ()) -> Refinement:
    captions = [*captions, *["nonsense"] * NUM_CANDIDATES][:NUM_CANDIDATES]
    return PromptRefiner(CONFIG, VOC, scorer, Writer(captions, marks)).refine(prompt, classes, 3)


def test_the_best_rewording_replaces_a_poorer_prompt(scorer: Any) -> None:
    better, best = "A brown horse standing near a fence in a meadow", "A brown horse grazing in a meadow"
    found = refined(scorer, "horse brown meadow", [better, best], {"horse brown meadow": 1, better: 3})
    assert (found.text, found.reason) == (best, "")
    assert 0 < found.quality <= 1


def test_a_prompt_that_nothing_beats_stays_and_says_why(scorer: Any) -> None:
    prompt = "a brown horse grazing in a meadow"
    worse = "A horse of brown is in the meadow by things"
    found = refined(scorer, prompt, [worse], {worse: 1})
    assert (found.text, found.reason) == (prompt, "no rewording was better")


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        ("A lovely quiet morning in the green meadow", "class_missing"),
        ("A horse with a dog standing in a meadow", "class_added"),
        ("A horse standing beside a wall in the snow", "forgetful"),
        ("A horse", "too_short"),
    ],
)
def test_a_rewording_that_changes_the_picture_is_refused(scorer: Any, caption: str, fault: str) -> None:
    found = refined(scorer, "horse in a meadow", [caption] * NUM_CANDIDATES, {"horse in a meadow": 1})
    assert found.text == "horse in a meadow"
    assert fault in found.reason


def test_a_light_that_was_left_out_is_given_back(scorer: Any) -> None:
    found = refined(scorer, "horse meadow dusk", ["A horse grazing on the grass in a meadow"], {"horse meadow dusk": 1})
    assert found.text == "A horse grazing on the grass in a meadow at dusk"


def test_every_class_that_was_asked_for_must_be_named(scorer: Any) -> None:
    one, both = "A horse standing on a street in town", "A horse standing beside a car on a street"
    found = refined(scorer, "horse street", [one, both], {"horse street": 1}, [HORSE, CAR])
    assert found.text == both


def test_a_prompt_without_a_class_is_left_alone_and_the_model_is_not_asked(scorer: Any) -> None:
    writer = Writer([], {})
    found = PromptRefiner(CONFIG, VOC, scorer, writer).refine("a quiet beach", [], 0)
    assert (found.text, found.reason) == ("a quiet beach", "the prompt names no class")
    assert writer.requests == []


def test_smollm_rewords_alike_twice_and_keeps_the_class(scorer: Any) -> None:
    config = load_config("embedded").prompts
    refiner = PromptRefiner(config, VOC, scorer, LlamaEngine().generate)
    first, second = (refiner.refine("two brown horses in meadow", [HORSE], 5) for _ in range(2))
    assert first == second
    assert "horses" in first.text.lower()
    print(first)  # noqa: T201


_SNOWY = "A horse standing beside a wall in the snow"


class OnlySnow:
    """An image engine that paints nothing without snow."""

    max_words: int | None = None

    def refusal(self, prompt: str, /) -> PromptRefusal | None:
        return None if "snow" in prompt else PromptRefusal("no_snow", "The caption named no snow.")


@pytest.mark.parametrize(
    ("captions", "text", "reason"),
    [
        (["A horse standing beside a wall in town", _SNOWY], _SNOWY, ""),
        (["A horse standing beside a wall in town"], "a horse", "every rewording was refused (no_snow)"),
    ],
)  # fmt: skip
def test_a_rewording_that_the_image_engine_refuses_replaces_no_prompt(scorer: Any, captions: list[str], text: str, reason: str) -> None:
    """Where it refuses the prompt itself, a rewording that it takes is better, whatever its marks."""
    filled = [*captions, *captions[-1:] * (NUM_CANDIDATES - len(captions))]
    marks = {"a horse": 5, _SNOWY: 1}
    found = PromptRefiner(CONFIG, VOC, scorer, Writer(filled, marks), OnlySnow()).refine("a horse", [HORSE], 3)
    assert (found.text, found.reason) == (text, reason)
