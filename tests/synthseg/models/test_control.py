from __future__ import annotations

import numpy as np
import torch

from synthseg.config.schema import RunConfig
from synthseg.models.control import TrainingFree
from synthseg.models.frozen import FrozenParts

IMAGES = [*np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8), np.zeros((40, 24, 3), np.uint8)]


def test_every_pixel_is_decided_within_the_given_tags(parts: FrozenParts, config: RunConfig) -> None:
    labels = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], np.int8)
    masks = TrainingFree(parts, config.segmenter).predict(IMAGES, labels)
    assert [m.shape for m in masks] == [(32, 32)] * 3 + [(40, 24)]
    for mask, label in zip(masks, labels, strict=True):
        assert set(np.unique(mask)) <= {0, *(np.flatnonzero(label) + 1)}


def test_tags_follow_the_threshold(parts: FrozenParts, config: RunConfig) -> None:
    probs = TrainingFree(parts, config.segmenter).probabilities(IMAGES)
    assert probs.shape == (4, 3)
    threshold = float(np.median(probs))
    tags = TrainingFree(parts, config.segmenter.model_copy(update={"tag_threshold": threshold})).tags(IMAGES)
    np.testing.assert_array_equal(tags == 1, probs >= np.float32(threshold))


def test_softmax_models_share_out_one_and_sigmoid_models_do_not(parts: FrozenParts, config: RunConfig) -> None:
    control = TrainingFree(parts, config.segmenter)
    embedding = torch.nn.functional.normalize(torch.ones(1, 32), dim=-1)
    parts.clip_model.logit_bias = None
    torch.testing.assert_close(control._probabilities(embedding).sum(), torch.tensor(1.0))
    parts.clip_model.logit_bias = torch.nn.Parameter(torch.tensor(-50.0))
    assert control._probabilities(embedding).sum() < 1e-3
