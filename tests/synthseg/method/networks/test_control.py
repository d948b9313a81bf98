from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg.config.schema import RunConfig
from synthseg.method.masks.pseudo_masks import to_batch
from synthseg.method.networks.control import TrainingFree
from synthseg.method.networks.frozen import FrozenParts

IMAGES = [*np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8), np.zeros((40, 24, 3), np.uint8)]


def test_every_pixel_is_decided_within_the_given_tags(parts: FrozenParts, config: RunConfig) -> None:
    labels = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], np.int8)
    masks = TrainingFree(parts, config.segmenter).predict(IMAGES, labels)
    assert [m.shape for m in masks] == [(32, 32)] * 3 + [(40, 24)]
    for mask, label in zip(masks, labels, strict=True):
        assert set(np.unique(mask)) <= {0, *(np.flatnonzero(label) + 1)}


@pytest.mark.parametrize("scales", [(1.0,), (1.5, 1.0)])
def test_a_class_is_tagged_where_its_probability_at_the_images_own_size_reaches_the_threshold(
    parts: FrozenParts, config: RunConfig, scales: tuple[float, ...]
) -> None:
    batches = [to_batch(IMAGES[:3], torch.device("cpu")), to_batch(IMAGES[3:], torch.device("cpu"))]
    probs = torch.cat([TrainingFree(parts, config.segmenter).probabilities(batch) for batch in batches]).numpy()
    assert probs.shape == (4, 3)
    section = config.segmenter.model_copy(update={"tag_threshold": float(np.median(probs)), "seed_scales": scales})
    control = TrainingFree(parts, section)
    tags = (probs >= np.float32(section.tag_threshold)).astype(np.int8)
    for own, given in zip(control.predict(IMAGES), control.predict(IMAGES, tags), strict=True):
        np.testing.assert_array_equal(own, given)
    assert any(mask.any() for mask in control.predict(IMAGES))


def test_softmax_models_share_out_one_and_sigmoid_models_do_not(parts: FrozenParts, config: RunConfig) -> None:
    control = TrainingFree(parts, config.segmenter)
    embedding = torch.nn.functional.normalize(torch.ones(1, 32), dim=-1)
    parts.clip_model.logit_bias = None
    torch.testing.assert_close(control._probabilities(embedding).sum(), torch.tensor(1.0))
    parts.clip_model.logit_bias = torch.nn.Parameter(torch.tensor(-50.0))
    assert control._probabilities(embedding).sum() < 1e-3
