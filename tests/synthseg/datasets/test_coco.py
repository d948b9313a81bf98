from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.datasets.coco import class_id, decode_region, decompress_counts, semantic_mask
from synthseg.errors import CorruptData, UsageProblem
from synthseg.taxonomy import taxonomy


def compress(lengths):
    """COCO's string encoding, by its definition."""
    text = ""
    for i, length in enumerate(lengths):
        value = length - lengths[i - 2] if i > 2 else length
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr(48 + (bits | 0x20 if more else bits))
    return text


def square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def test_category_ids_close_their_gaps():
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    assert [class_id(i) for i in ids] == list(range(1, 81))
    assert taxonomy("coco").by_id(class_id(18)).name == "dog"
    assert taxonomy("coco").by_id(class_id(90)).name == "toothbrush"
    for wrong in (0, 12, 83, 91):
        with pytest.raises(CorruptData, match=f"category id {wrong}"):
            class_id(wrong)


def test_polygons_fill_the_pixels_whose_centre_they_hold():
    found = decode_region([square(1, 2, 4, 5), square(6.6, 0, 8.3, 1)], 6, 9)
    expected = np.zeros((6, 9), bool)
    expected[2:5, 1:4] = True
    expected[0, 7] = True
    np.testing.assert_array_equal(found, expected)
    assert not decode_region([square(20, 20, 30, 30)], 6, 9).any()


def test_run_lengths_go_down_the_columns_plain_or_compressed():
    region = np.random.default_rng(0).random((13, 11)) < 0.4
    region[:, 4:7] = True
    flat = region.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends, flat.size]).tolist()
    lengths = [0, *lengths] if flat[0] else lengths
    assert decompress_counts(compress(lengths)) == lengths
    assert decompress_counts(compress([3, 1000, 7, 20, 70000])) == [3, 1000, 7, 20, 70000]
    for counts in (lengths, compress(lengths)):
        np.testing.assert_array_equal(decode_region({"counts": counts, "size": [13, 11]}, 13, 11), region)
    with pytest.raises(CorruptData, match="run lengths"):
        decode_region({"counts": [3, 4]}, 13, 11)


def test_smaller_instances_lie_on_top_and_crowds_count():
    crowd = {"counts": [0, 36], "size": [6, 6]}
    instances = [
        {"id": 1, "area": 4, "category_id": 18, "segmentation": [square(0, 0, 2, 2)], "iscrowd": 0},
        {"id": 2, "area": 36, "category_id": 1, "segmentation": crowd, "iscrowd": 1},
    ]
    mask = semantic_mask(instances, 6, 6)
    assert (mask[:2, :2] == 17).all()
    assert (mask == 1).sum() == 32


def test_split_from_annotations(tmp_path):
    (tmp_path / "val2014").mkdir()
    (tmp_path / "annotations").mkdir()
    entries = [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg", "height": 6, "width": 8} for i in (9, 3, 5)]
    annotations = [
        {"id": i, "image_id": image, "area": 4, "category_id": 3, "segmentation": [square(0, 0, 2, 2)]} for i, image in enumerate((9, 3))
    ]
    content = {"images": entries, "annotations": annotations}
    with pytest.raises(UsageProblem, match=r"instances_val2014\.json is missing"):
        open_dataset(f"coco:{tmp_path}", load_config("coco"))
    (tmp_path / "annotations" / "instances_val2014.json").write_text(json.dumps(content))
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "val2014" / entries[1]["file_name"])
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "val2014" / entries[0]["file_name"])
    dataset = open_dataset(f"coco:{tmp_path}", load_config("coco"))
    assert len(dataset) == 2
    assert dataset[0].name == "COCO_val2014_000000000003"
    assert dataset[0].image.shape == (6, 8, 3)
    assert (dataset[0].mask == 3).sum() == 4
    with pytest.raises(CorruptData, match="its annotations say"):
        dataset[1]
