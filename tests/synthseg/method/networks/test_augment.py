from __future__ import annotations

import numpy as np
import pytest

from synthseg.method.networks.augment import augment, crop_by_mass, mosaic, scaled_crop


def pair(value: int, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """An object square whose colour equals its mask value times 50."""
    mask = np.zeros((size, size), np.uint8)
    mask[10:30, 10:30] = value
    return np.repeat((mask * 50)[..., None], 3, axis=2), mask


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_size_type_and_values(count: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        image, mask = augment([pair(v + 1) for v in range(count)], 32, rng)
        assert image.shape == (32, 32, 3)
        assert mask.shape == (32, 32)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, *range(1, count + 1), 255}


def test_same_generator_same_pair() -> None:
    first, second = (augment([pair(1), pair(2)], 32, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_image_and_mask_move_together() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        image, mask = scaled_crop(*pair(3), (32, 32), rng)
        inside = mask != 255
        wrong = np.abs(image[..., 0].astype(int) - mask.astype(int) * 50)[inside] > 75
        assert wrong.mean() < 0.1  # only edges may blur


def test_small_images_are_padded_with_ignored_pixels() -> None:
    _, mask = scaled_crop(*pair(1, 40), (64, 64), np.random.default_rng(0), (0.5, 0.5))
    assert (mask == 255).sum() == 64 * 64 - 20 * 20


def test_crops_keep_the_object() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:20, :20] = 1
    rng = np.random.default_rng(0)
    kept = [mask[t : t + 30, x : x + 30].any() for t, x in (crop_by_mass(mask, (30, 30), rng) for _ in range(200))]
    assert np.mean(kept) > 0.25  # a uniform crop keeps any of it in 8 % of the cases


def test_mosaic_shows_every_picture() -> None:
    shown = [np.unique(mosaic([pair(v) for v in (1, 2, 3, 4)], 48, np.random.default_rng(s))[1]) for s in range(20)]
    assert all({1, 2, 3, 4} <= set(values) for values in shown)
