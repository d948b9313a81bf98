from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset, read_image, read_mask, to_class_order
from synthseg.errors import CorruptData, UsageProblem


def test_class_order_maps_ids_and_keeps_void():
    config = load_config("embedded", classes=["sheep", "bird"])
    mask = np.array([[0, 3, 17], [255, 8, 20]], np.uint8)
    assert to_class_order(mask, config).tolist() == [[0, 1, 2], [255, 0, 0]]


@pytest.mark.parametrize("spec", ["", "voc", "voc:", "pascal:/data", "fields"])
def test_unknown_names_are_refused(spec):
    with pytest.raises(UsageProblem, match=r"evaluation\.dataset"):
        open_dataset(spec, load_config("embedded"))


@pytest.mark.parametrize("spec", ["voc:nowhere", "folder:nowhere"])
def test_missing_folders_are_named(spec):
    with pytest.raises(UsageProblem, match=r"nowhere.* is missing"):
        open_dataset(spec, load_config("embedded"))


def test_taxonomy_must_fit():
    with pytest.raises(UsageProblem, match="taxonomy"):
        open_dataset("coco:nowhere", load_config("embedded"))
    with pytest.raises(UsageProblem, match="taxonomy"):
        open_dataset("field", load_config("coco"))


def test_masks_are_indices_never_colors(tmp_path):
    indices = np.array([[0, 1], [15, 255]], np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([channel for i in range(256) for channel in (255 - i, i // 2, 7)])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(indices).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "color.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "palette.png").read_bytes()[:60])
    assert read_mask(tmp_path / "palette.png").tolist() == indices.tolist()
    assert read_mask(tmp_path / "grey.png").tolist() == indices.tolist()
    with pytest.raises(CorruptData, match=r"color\.png.*'RGB'"):
        read_mask(tmp_path / "color.png")
    with pytest.raises(CorruptData, match=r"torn\.png"):
        read_mask(tmp_path / "torn.png")


def test_grey_images_are_stacked_and_torn_ones_named(tmp_path):
    Image.fromarray(np.full((3, 4), 9, np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (3, 4, 3)
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    with pytest.raises(CorruptData, match=r"torn\.jpg"):
        read_image(tmp_path / "torn.jpg")
