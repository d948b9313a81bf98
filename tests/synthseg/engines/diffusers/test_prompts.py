"""Prompts longer than a pipeline's text encoders read are counted, and the agent is told before it accepts one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from synthseg.config.loading import load_config
from synthseg.config.schema import ImagesConfig

diffusers = pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from synthseg.engines.diffusers.engine import DiffusersEngine  # noqa: E402
from synthseg.engines.diffusers.prompts import PromptReader, prompt_check  # noqa: E402
from synthseg.engines.image import AnyPrompt, GeneratedImage, ImageRequest  # noqa: E402
from synthseg.engines.registry import build_prompt_check  # noqa: E402
from tests.tiny_diffusers import FAMILIES  # noqa: E402

PipelineFolder = Callable[[str], Path]
CAPACITY = {"sd": 75, "sdxl": 75, "flux": 255, "z-image": 509}
"""Letters that are read whole where each is a token of its own; FLUX's pieces have a blank before each word, Z-Image's template takes 3."""


def settings(folder: Path, **changes: Any) -> ImagesConfig:
    return ImagesConfig(engine="diffusers", model=str(folder), width=64, height=64, dtype="fp32", **changes)


def of_tokens(family: str, number: int) -> str:
    """A prompt of that many tokens: for CLIP words of one letter, which are a token each; for the others letters of one word."""
    return " ".join("x" * number) if family in ("sd", "sdxl", "flux") else "x" * number


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_beyond_the_encoder_are_counted_in_every_family(pipeline: PipelineFolder, family: str) -> None:
    folder, fits = pipeline(family), CAPACITY[family]
    check, engine = prompt_check(settings(folder)), DiffusersEngine(settings(folder, parameters={"steps": 1}))
    for prompt, whole in (("a cat", True), (of_tokens(family, fits), True), (of_tokens(family, fits + 1), False)):
        (made,) = engine.generate([ImageRequest(prompt, 0, 64, 64, "", {"steps": 1})])
        assert isinstance(made, GeneratedImage)
        assert (made.cut_tokens == 0) == whole, made.cut_tokens
        refusal = check.refusal(prompt)
        assert (refusal is None) == whole
    assert refusal is not None
    assert refusal.reason == "too_many_tokens"


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_what_is_cut_off_has_no_effect_and_what_is_not_has(pipeline: PipelineFolder, family: str) -> None:
    """The count is true of the pixels: the last token that counts changes the image, the first that does not changes nothing."""
    engine = DiffusersEngine(settings(pipeline(family), parameters={"steps": 1}))
    fits = of_tokens(family, CAPACITY[family])

    def painted(prompt: str) -> GeneratedImage:
        (made,) = engine.generate([ImageRequest(prompt, 0, 64, 64, "", {"steps": 1})])
        assert isinstance(made, GeneratedImage)
        return made

    beyond = [painted(f"{fits} {tail}") for tail in ("y y", "z z")]
    assert [made.cut_tokens > 0 for made in beyond] == [True, True]
    assert beyond[0].encoded == beyond[1].encoded
    assert painted(fits).encoded != painted(fits[:-1] + "y").encoded


def test_a_negative_prompt_counts_too(pipeline: PipelineFolder) -> None:
    engine = DiffusersEngine(settings(pipeline("sd"), parameters={"steps": 1}))
    (made,) = engine.generate([ImageRequest("a cat", 0, 64, 64, " ".join("x" * 80), {"steps": 1})])
    assert isinstance(made, GeneratedImage)
    assert made.cut_tokens == 5


def test_a_bound_of_the_request_is_the_one_that_counts(pipeline: PipelineFolder) -> None:
    prompt = of_tokens("z-image", 100)
    reader = PromptReader(diffusers.DiffusionPipeline.from_pretrained(pipeline("z-image")), {})
    assert [reader.num_cut(prompt, bound) for bound in ({}, {"max_sequence_length": 64})] == [0, 39]
    assert prompt_check(settings(pipeline("z-image"), parameters={"max_sequence_length": 64})).refusal(prompt) is not None


def test_the_pipeline_itself_is_left_as_it_was(pipeline: PipelineFolder) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(pipeline("sd"))
    parts = dict(pipe.components)
    PromptReader(pipe, {}).num_cut("a cat", {})
    assert all(pipe.components[name] is part for name, part in parts.items())
    assert type(pipe.tokenizer).__call__ is type(parts["tokenizer"]).__call__


def test_the_agent_s_word_limit_follows_the_encoder(pipeline: PipelineFolder) -> None:
    base = ["images.engine=diffusers", f"images.model={pipeline('sd')}", "images.width=64", "images.height=64"]
    assert build_prompt_check(load_config("embedded", base)).max_words == 75
    assert build_prompt_check(load_config("embedded", [*base, f"images.model={pipeline('flux')}"])).max_words == 508


def test_a_pipeline_of_another_kind_takes_every_prompt(pipeline: PipelineFolder) -> None:
    class Strange:
        components: ClassVar[dict[str, Any]] = {}

        def __call__(self, prompt: str) -> None: ...

        def encode_prompt(self, prompt: list[str]) -> None:
            raise AssertionError("not with blank networks")

    reader = PromptReader(Strange(), {})
    assert (reader.max_words, reader.num_cut("x" * 9999, {})) == (None, 0)
    assert isinstance(prompt_check(settings(pipeline("sd") / "nowhere")), AnyPrompt)
