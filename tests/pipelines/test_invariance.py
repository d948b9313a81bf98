from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import invariance
from synthseg.config.loading import load_config
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.image_codec import encode_png
from synthseg.store.run_folder import RunFolder

CONFIG = load_config("embedded", ["images.engine=diffusers", "images.model=some/model", "execution.image_batch_size=3"])


class Replicas:
    """A handle to replicas that paint a picture brighter in a batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.generate = self

    def remote(self, requests: Sequence[ImageRequest]) -> Any:
        self.batches.append(len(requests))
        image = GeneratedImage(encode_png(np.full((4, 4, 3), 10 + len(requests), np.uint8)), 4, 4)

        class Response:
            def result(self) -> list[GeneratedImage]:
                return [image] * len(requests)

        return Response()


def test_it_is_measured_once_and_stands_in_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Replicas()
    monkeypatch.setattr(invariance, "image_handle", lambda _: replicas)
    folder = RunFolder(str(tmp_path))
    for _ in range(2):
        invariance.note_invariance(CONFIG, folder)
    assert replicas.batches == [1, 1, 1, 3]
    assert folder.metrics()["invariance"] == {
        "batch_size": 3,
        "num_images": 3,
        "num_identical": 0,
        "max_difference": 2,
        "mean_difference": 2.0,
    }


def test_the_painter_is_not_asked(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    invariance.note_invariance(load_config("embedded"), folder)
    assert folder.metrics() == {}
