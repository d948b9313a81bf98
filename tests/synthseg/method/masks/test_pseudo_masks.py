from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg.config.schema import RunConfig
from synthseg.method.masks import pseudo_masks
from synthseg.method.masks.prototypes import Prototypes
from synthseg.method.masks.pseudo_masks import PseudoMasker, resize_to_stride
from synthseg.method.networks.encoder import Encoded, FrozenClipEncoder
from synthseg.method.networks.frozen import FrozenParts


class ColorEncoder(FrozenClipEncoder):
    """Patch features are the mean colours of 8 px patches: red, green and blue stand for the three texts."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.register_buffer("mean", torch.zeros(1))

    @property
    def stride(self) -> int:
        return 8

    def encode(self, images: torch.Tensor, *, attention: bool = True) -> Encoded:
        grid = (images.shape[-2] // 8, images.shape[-1] // 8)
        colors = torch.nn.functional.adaptive_avg_pool2d(images, grid).flatten(2).transpose(1, 2)
        dense = torch.nn.functional.normalize(colors + 1e-3, dim=-1)
        likeness = (dense @ dense.transpose(1, 2) * 20).softmax(dim=-1)
        return Encoded([], [likeness] if attention else [], dense, torch.nn.functional.normalize(dense.mean(dim=1), dim=-1), grid)


def painted(*squares: tuple[int, int, int]) -> np.ndarray:
    """A blue 64 px image with 24 px squares (channel, top, left)."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = 200
    for channel, top, left in squares:
        image[top : top + 24, left : left + 24] = 0
        image[top : top + 24, left : left + 24, channel] = 220
    return image


@pytest.fixture
def masker(config: RunConfig) -> PseudoMasker:
    section = config.segmenter.model_copy(update={"par_iterations": 10})
    return PseudoMasker(ColorEncoder(), Prototypes(np.eye(3, dtype=np.float32), 2), section)


@pytest.mark.parametrize("affinity", ["none", "caa", "cda"])
def test_objects_are_found_by_their_labels(masker: PseudoMasker, affinity: str) -> None:
    masker.config = masker.config.model_copy(update={"affinity": affinity})
    image = painted((0, 0, 0), (1, 32, 32))
    (mask,) = masker.masks([image], np.array([[1, 1]], np.int8))
    assert (mask[2:22, 2:22] == 1).mean() > 0.9
    assert (mask[34:54, 34:54] == 2).mean() > 0.9
    assert (mask[:20, 40:] == 0).mean() > 0.9


def test_absent_classes_never_appear(masker: PseudoMasker) -> None:
    image = painted((0, 0, 0), (1, 32, 32))
    (mask,) = masker.masks([image], np.array([[1, 0]], np.int8))
    assert set(np.unique(mask)) <= {0, 1, 255}


def test_no_class_is_all_background(masker: PseudoMasker) -> None:
    (mask,) = masker.masks([painted()], np.array([[0, 0]], np.int8))
    assert (mask == 0).all()


def test_strong_seeds_of_unknown_classes_are_ignored(masker: PseudoMasker) -> None:
    image = painted((0, 0, 0), (1, 32, 32))
    (mask,) = masker.masks([image], np.array([[1, -1]], np.int8))
    assert (mask[34:54, 34:54] == 255).all()
    assert (mask[2:22, 2:22] == 1).mean() > 0.9


def test_band_ignores_close_calls_and_zero_band_decides_all(masker: PseudoMasker) -> None:
    image = painted((0, 4, 4))
    labels = np.array([[1, 0]], np.int8)
    (wide,), (none,) = masker.masks([image], labels, ignore_band=0.5), masker.masks([image], labels, ignore_band=0.0)
    assert (wide == 255).sum() > 0
    assert (none == 255).sum() == 0


def test_a_mask_does_not_depend_on_its_batch(masker: PseudoMasker, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [painted((0, 0, 0), (1, 32, 32)), painted((0, 8, 30)), painted()[:40], painted((1, 16, 8))[:40]]
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.int8)
    together = masker.masks(images, labels)
    assert [m.shape for m in together] == [i.shape[:2] for i in images]
    monkeypatch.setattr(pseudo_masks, "BATCH", 1)
    for batched, alone in zip(together, masker.masks(images, labels), strict=True):
        np.testing.assert_array_equal(batched, alone)


def test_large_images_come_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [(768, 768)] * 4 + [(1600, 1600)] * 2 + [(128, 128)] * 20
    images = [np.zeros((*side, 3), np.uint8) for side in sides]
    found = list(pseudo_masks.same_size_batches(images, 16))
    assert sorted(i for batch in found for i in batch) == list(range(len(images)))
    assert [len(batch) for batch in found] == [16, 4, 3, 1, 1, 1]
    for batch in found:
        height, width = sides[batch[0]]
        assert len(batch) == 1 or len(batch) * (height * width // 256) ** 2 <= pseudo_masks.BATCH_PAIRS


def test_larger_scales_count_in_the_batch(masker: PseudoMasker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = masker.encoder.encode
    monkeypatch.setattr(masker.encoder, "encode", lambda images, **asked: seen.append(len(images)) or encode(images, **asked))
    monkeypatch.setattr(pseudo_masks, "BATCH_PAIRS", 2 * 64**2)
    images, labels = [painted()] * 4, np.zeros((4, 2), np.int8)
    once = masker.masks(images, labels)
    assert seen == [2, 2]
    masker.config = masker.config.model_copy(update={"seed_scales": (1.0, 1.5)})
    masker.masks(images, labels)
    assert seen[2:] == [1, 1] * 4
    monkeypatch.setattr(pseudo_masks, "BATCH_PAIRS", 1)
    masker.config = masker.config.model_copy(update={"seed_scales": (1.0,)})
    for batched, alone in zip(once, masker.masks(images, labels), strict=True):
        np.testing.assert_array_equal(batched, alone)


def test_scales_and_flip_keep_the_grid(parts: FrozenParts, config: RunConfig) -> None:
    section = config.segmenter.model_copy(update={"seed_scales": (1.0, 1.5), "seed_flip": True})
    images = torch.rand(2, 3, 32, 32)
    raw, encoded = parts.masker(section).seeds(images)
    assert encoded.grid == (4, 4)
    mirrored, _ = parts.masker(section).seeds(images.flip(-1))
    torch.testing.assert_close(raw.unflatten(1, (4, 4)), mirrored.unflatten(1, (4, 4)).flip(2), atol=1e-4, rtol=1e-3)


def test_resize_to_stride_rounds_each_side() -> None:
    assert resize_to_stride(torch.rand(1, 3, 30, 45), 1.0, 8).shape[-2:] == (32, 48)
    assert resize_to_stride(torch.rand(1, 3, 3, 45), 0.5, 8).shape[-2:] == (8, 24)
