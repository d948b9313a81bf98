from __future__ import annotations

import cv2
import numpy as np
import pytest

from synthseg.errors import CorruptData
from synthseg.image_codec import decode_rgb, encode_png

RED = np.full((4, 6, 3), (250, 20, 10), np.uint8)


def test_an_image_comes_back_with_its_channels_in_order() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_rgb(encode_png(image)), image)


def test_a_mask_is_stored_as_its_indices() -> None:
    mask = np.array([[0, 1], [20, 255]], np.uint8)
    stored = cv2.imdecode(np.frombuffer(encode_png(mask), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, mask)
    np.testing.assert_array_equal(decode_rgb(encode_png(mask)), np.repeat(mask[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", [".jpg", ".webp"])
def test_other_encodings_are_read_too(kind: str) -> None:
    encoded = cv2.imencode(kind, RED[..., ::-1])[1].tobytes()
    assert np.abs(decode_rgb(encoded).astype(int) - RED).max() < 12


@pytest.mark.parametrize("encoded", [b"", b"no image", encode_png(RED)[:20]], ids=["empty", "text", "cut short"])
def test_bytes_that_are_no_image_are_named(encoded: bytes) -> None:
    with pytest.raises(CorruptData, match=rf"^image: {len(encoded)} bytes are no readable PNG, WebP or JPEG"):
        decode_rgb(encoded)
