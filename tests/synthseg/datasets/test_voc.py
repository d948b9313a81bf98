from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.errors import UsageProblem

SAMPLE = os.environ.get("SYNTHSEG_VOC_SAMPLE", "")


@pytest.fixture
def devkit(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("b\na\n")
    for value, name in enumerate(("a", "b"), start=1):
        Image.fromarray(np.full((5, 7, 3), 40 * value, np.uint8)).save(tmp_path / f"JPEGImages/{name}.jpg", quality=95)
        mask = Image.fromarray(np.full((5, 7), value, np.uint8), "P")
        mask.putpalette([128, 0, 0] * 256)
        mask.save(tmp_path / f"SegmentationClass/{name}.png")
    return tmp_path


def test_reads_the_val_list_in_its_order(devkit):
    dataset = open_dataset(f"voc:{devkit}", load_config("voc"))
    assert [dataset[i].name for i in range(len(dataset))] == ["b", "a"]
    assert (dataset[0].mask == 2).all()
    assert dataset[0].image.shape == (5, 7, 3)
    assert abs(int(dataset[0].image[0, 0, 0]) - 80) < 3
    with pytest.raises(IndexError):
        dataset[2]


def test_limit_takes_the_first(devkit):
    assert len(open_dataset(f"voc:{devkit}", load_config("voc", ["evaluation.num_images=1"]))) == 1


def test_missing_list_is_named(devkit):
    (devkit / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(UsageProblem, match=r"val\.txt is missing"):
        open_dataset(f"voc:{devkit}", load_config("voc"))


@pytest.mark.skipif(not SAMPLE, reason="SYNTHSEG_VOC_SAMPLE names no devkit folder")
def test_real_images_have_masks_of_known_classes():
    assert Path(SAMPLE).is_dir()
    dataset = open_dataset(f"voc:{SAMPLE}", load_config("voc"))
    assert len(dataset) > 0
    seen = set()
    for i in range(len(dataset)):
        sample = dataset[i]
        assert sample.mask.shape == sample.image.shape[:2]
        seen |= set(np.unique(sample.mask).tolist())
    assert {0, 255} < seen <= {*range(21), 255}
