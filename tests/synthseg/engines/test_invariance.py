from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from synthseg.config.loading import load_config
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.invariance import measure_invariance
from synthseg.engines.registry import build_image_engine
from synthseg.errors import RunFailure
from synthseg.image_codec import encode_png

CONFIG = load_config("embedded", ["images.width=64", "images.height=64"])


class Drifting:
    """An engine whose second image is two grey levels brighter in a batch, and which cannot draw the third alone."""

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        results: list[GeneratedImage | GenerationFailure] = []
        for request in requests:
            pixels = np.full((4, 4, 3), 100, np.uint8)
            if request.seed == 1 and len(requests) > 1:
                pixels[0, 0] += 2
            done = GeneratedImage(encode_png(pixels), 4, 4)
            results.append(GenerationFailure("no", retryable=False) if request.seed == 2 and len(requests) == 1 else done)
        return results


def test_differences_are_measured_over_what_both_ways_made() -> None:
    found = measure_invariance(Drifting(), CONFIG, 4)
    assert (found.batch_size, found.num_images, found.num_identical, found.max_difference) == (4, 3, 2, 2)
    assert found.mean_difference == pytest.approx(2 / 16 / 3, abs=1e-6)
    assert json.loads(json.dumps(found.as_dict()))["max_difference"] == 2
    assert str(found).startswith("batch 1 against 4: 2 of 3 images identical")


def test_the_painter_does_not_depend_on_its_batch() -> None:
    found = measure_invariance(build_image_engine(CONFIG), CONFIG)
    assert (found.num_images, found.num_identical, found.max_difference) == (8, 8, 0)


def test_an_engine_that_makes_nothing_says_why() -> None:
    class Broken:
        def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
            return [GenerationFailure("width: too wide", retryable=False)] * len(requests)

    with pytest.raises(RunFailure, match="width: too wide"):
        measure_invariance(Broken(), CONFIG, 2)
