"""What the painter says of a prompt beforehand, against what it does with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg.config.loading import load_config
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.embedded.painter.prompts import PainterPromptCheck
from synthseg.embedded.scenes.vocabulary import (
    CLASS_WORDS,
    COLOR_WORDS,
    COUNT_WORDS,
    FILLER_WORDS,
    LIGHT_WORDS,
    NEGATIONS,
    PLACE_WORDS,
    POSE_WORDS,
)
from synthseg.engines.image import GeneratedImage, ImageRequest, PromptRefusal
from synthseg.engines.registry import build_prompt_check
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import draw_slots
from synthseg.taxonomy import taxonomy

HUT = "A shepherd's hut in the cloudy light of dusk"
_KNOWN = sorted(
    {word for names in (*CLASS_WORDS.values(), *PLACE_WORDS.values(), *LIGHT_WORDS.values()) for word in names}
    | {*COLOR_WORDS, *COUNT_WORDS, *FILLER_WORDS, *NEGATIONS, *POSE_WORDS, "shepherd's hut", "wall", "quiet", "in", "with", ",", "."}
)
WORDS = st.lists(st.sampled_from(_KNOWN), max_size=7).map(" ".join)
PROMPTS = WORDS | st.text(max_size=40)


def painted(prompt: str, negative_prompt: str = "") -> bool:
    (result,) = PainterEngine().generate([ImageRequest(prompt, 3, 32, 32, negative_prompt)])
    return isinstance(result, GeneratedImage)


def test_the_hut_of_the_demo_is_refused_and_says_what_it_lacks() -> None:
    assert not painted(HUT)
    assert PainterPromptCheck().refusal(HUT) == PromptRefusal("unpaintable", "The caption named no place that can be painted.")
    assert PainterPromptCheck().refusal(f"{HUT} in a meadow") is None


@settings(max_examples=120, deadline=None)
@given(PROMPTS, st.one_of(st.just(""), WORDS))
def test_what_passes_is_painted_and_what_is_refused_is_not(prompt: str, negative_prompt: str) -> None:
    passes = PainterPromptCheck(negative_prompt).refusal(prompt) is None
    assert painted(prompt, negative_prompt) is passes


def test_every_draw_of_the_template_that_passes_is_painted() -> None:
    rng = np.random.default_rng(0)
    for info in taxonomy("voc").classes:
        for kind in ("target", "bare", "context"):
            text = draw_slots(profile(info), kind, rng).text()  # type: ignore[arg-type]
            assert painted(text) is (PainterPromptCheck().refusal(text) is None)


@pytest.mark.parametrize(("negative", "passes"), [("", True), ("cats and blur", False)])
def test_the_check_of_a_run_knows_its_negative_prompt(negative: str, passes: bool) -> None:
    check = build_prompt_check(load_config("embedded", [f"images.negative_prompt={negative}"] if negative else []))
    assert (check.refusal("A cat that sits and looks around") is None) is passes


def test_an_engine_that_reads_any_text_refuses_none() -> None:
    check = build_prompt_check(load_config("laptop"))
    assert check.refusal(HUT) is None
