from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from synthseg.embedded.painter.engine import PainterEngine
from synthseg.embedded.scenes.composition import compose
from synthseg.embedded.scenes.grammar import read_prompt
from synthseg.embedded.scenes.seeding import painting_rng
from synthseg.embedded.scenes.worlds import TRAINING
from synthseg.engines.image import UNWANTED, GeneratedImage, GenerationFailure, ImageRequest, PreviewingImageEngine

PROMPTS = ("a brown horse grazing in a meadow at dusk", "a red car", "two cats on a sofa", "an empty beach in fog")


def pixels(image: GeneratedImage) -> NDArray[np.int16]:
    return cv2.imdecode(np.frombuffer(image.encoded, np.uint8), cv2.IMREAD_COLOR).astype(np.int16)


def test_the_painter_offers_previews() -> None:
    assert isinstance(PainterEngine(), PreviewingImageEngine)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_preview_is_the_picture_where_no_object_stands(prompt: str) -> None:
    request = ImageRequest(prompt, seed=7, width=128, height=96)
    shown: list[tuple[int, GeneratedImage]] = []
    engine = PainterEngine()
    (result,) = engine.generate_with_previews([request], [3], lambda index, image: shown.append((index, image)))
    assert [index for index, _ in shown] == [0]
    assert isinstance(result, GeneratedImage)
    truth = compose(read_prompt(prompt), TRAINING, 128, 96, painting_rng(prompt, "", 7, 128, 96))
    difference = np.abs(pixels(shown[0][1]) - pixels(result)).max(axis=2)
    background = difference[truth.instances == 0]
    # Shadows, reflections and the grain of the finish differ; another place or light would differ everywhere.
    assert np.mean(background < 48) > 0.7
    if truth.visible_shares:
        assert difference[truth.instances > 0].mean() > 2 * background.mean()


def test_asking_for_previews_changes_no_byte() -> None:
    requests = [ImageRequest(prompt, seed, 96, 96) for seed, prompt in enumerate(PROMPTS)]
    engine = PainterEngine()
    shown: list[int] = []
    with_previews = engine.generate_with_previews(requests, [0, 1, 0, 2], lambda index, _: shown.append(index))
    assert with_previews == engine.generate(requests)
    assert shown == [1, 3]


def test_what_nobody_waits_for_is_left_out() -> None:
    requests = [ImageRequest(prompt, seed, 64, 64) for seed, prompt in enumerate(PROMPTS)]
    engine = PainterEngine()
    made = engine.generate_with_previews(requests, [1] * 4, lambda *_: None, lambda index: index == 2)
    assert made == [UNWANTED, UNWANTED, engine.generate(requests)[2], UNWANTED]


@pytest.mark.parametrize("request_", [ImageRequest("xyzzy", 0, 64, 64), ImageRequest("a cat", 0, 8, 64)])
def test_what_cannot_be_painted_has_no_preview(request_: ImageRequest) -> None:
    (result,) = PainterEngine().generate_with_previews([request_], [1], lambda *_: pytest.fail("a preview"))
    assert isinstance(result, GenerationFailure)
