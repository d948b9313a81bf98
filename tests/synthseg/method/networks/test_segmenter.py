from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.method.networks.frozen import FrozenParts
from synthseg.method.networks.segmenter import Segmenter, build_decoder

IMAGES = [*np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3), dtype=np.uint8), np.zeros((33, 21, 3), np.uint8)]


@pytest.fixture
def segmenter(parts: FrozenParts, config: RunConfig) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(parts, build_decoder(parts, config), config)


def test_masks_have_the_images_sizes_and_known_classes(segmenter: Segmenter, config: RunConfig) -> None:
    masks = segmenter.predict(IMAGES)
    assert [m.shape for m in masks] == [(32, 40)] * 3 + [(33, 21)]
    assert all(m.dtype == np.uint8 and m.max() <= len(config.classes) for m in masks)


def test_flip_makes_the_logits_symmetric(segmenter: Segmenter) -> None:
    images = torch.rand(1, 3, 32, 40)
    both, mirrored = segmenter.logits(images, (1.0, 1.5), True), segmenter.logits(images.flip(-1), (1.0, 1.5), True)
    torch.testing.assert_close(both, mirrored.flip(-1), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(both, segmenter.logits(images, (1.0, 1.5), False))


def test_a_checkpoint_gives_the_same_masks(segmenter: Segmenter, parts: FrozenParts, config: RunConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(build_decoder(parts, config).state_dict(), tmp_path / "decoder.safetensors")
    loaded = Segmenter.load(tmp_path / "decoder.safetensors", config, torch.device("cpu"), parts)
    for a, b in zip(loaded.predict(IMAGES), segmenter.predict(IMAGES), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_other_classes_is_refused(parts: FrozenParts, config: RunConfig, tmp_path: Path) -> None:
    save_file(build_decoder(parts, config.model_copy(update={"classes": ("cat",)})).state_dict(), tmp_path / "decoder.safetensors")
    with pytest.raises(CorruptData, match=r"decoder\.safetensors"):
        Segmenter.load(tmp_path / "decoder.safetensors", config, torch.device("cpu"), parts)
    (tmp_path / "torn.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptData, match="torn"):
        Segmenter.load(tmp_path / "torn.safetensors", config, torch.device("cpu"), parts)
