from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from synthseg.report import pictures


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_thumbnail_is_small_and_keeps_its_shape() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (640, 320), (200, 30, 40)).save(stream, "png")
    image = decode(pictures.thumbnail(stream.getvalue()))
    assert image.size == (192, 96)
    assert np.allclose(np.asarray(image.convert("RGB")).mean((0, 1)), (200, 30, 40), atol=3)


def test_mask_colors_follow_the_legend() -> None:
    mask = np.array([[0, 1], [7, 255]], np.uint8)
    shown = np.asarray(decode(pictures.mask_picture(mask)).convert("RGB"))
    assert "#{:02x}{:02x}{:02x}".format(*shown[0, 0]) == pictures.hex_color(0)
    assert "#{:02x}{:02x}{:02x}".format(*shown[0, 1]) == pictures.hex_color(1)
    assert "#{:02x}{:02x}{:02x}".format(*shown[1, 0]) == pictures.hex_color(7)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_mask_is_read_by_its_indices(mode: str) -> None:
    mask = np.array([[0, 3], [20, 255]], np.uint8)
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette([255 - i // 3 for i in range(768)])
    stream = io.BytesIO()
    image.save(stream, "png")
    assert (pictures.read_mask(stream.getvalue()) == mask).all()


def test_class_colors_are_all_different() -> None:
    colors = [pictures.class_color(i) for i in range(1, 81)]
    assert len(set(colors)) == 80


def test_image_iou_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 255]], np.uint8)
    prediction = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], np.uint8)
    assert pictures.image_iou(truth, truth) == 1
    assert pictures.image_iou(truth, prediction) == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert pictures.image_iou(truth, np.zeros((1, 1), np.uint8)) == pytest.approx((0 + 3 / 7) / 2)
