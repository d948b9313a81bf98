from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.datasets.coco import semantic_mask
from synthseg.datasets.coco_annotations import Instance
from synthseg.datasets.coco_categories import MISSING_CATEGORIES, class_id
from synthseg.errors import CorruptData, UsageProblem
from tests.synthseg.datasets.coco_files import HEIGHT, WIDTH, categories, content, square, write


def test_smaller_instances_lie_on_top_and_crowds_count():
    crowd = {"counts": [0, 36], "size": [6, 6]}
    instances = [Instance(1, 18, [square(0, 0, 2, 2)], 4), Instance(2, 1, crowd, 36)]
    for order in (instances, instances[::-1]):
        mask = semantic_mask(order, 6, 6)
        assert (mask[:2, :2] == 17).all()
        assert (mask == 1).sum() == 32


def test_the_file_s_area_decides_and_of_equal_ones_the_first():
    whole, half = [square(0, 0, 6, 6)], [square(0, 0, 6, 3)]
    assert (semantic_mask([Instance(1, 18, whole, 5), Instance(2, 1, half, 6)], 6, 6) == 17).all()
    assert (semantic_mask([Instance(9, 18, whole, 7), Instance(2, 1, half, 7)], 6, 6) == 17).all()
    assert (semantic_mask([Instance(2, 1, half, 7), Instance(9, 18, whole, 7)], 6, 6)[:3] == 1).all()


IDS = [i for i in range(1, 91) if i not in MISSING_CATEGORIES]
CORNER = st.floats(-5, 40, allow_nan=False, width=32)
POLYGON = st.lists(st.tuples(CORNER, CORNER), min_size=3, max_size=7).map(
    lambda corners: [number for corner in corners for number in corner]
)
SHAPE = st.lists(POLYGON, min_size=1, max_size=3)
CROWD = st.integers(0, 2**32 - 1)
ANNOTATION = st.tuples(st.sampled_from(IDS), SHAPE | CROWD, st.sampled_from([0, 3.5, 40, 40.25, 700]))


def public_tables(annotations, height, width):
    """Ids of a mask as public tables have them, by pycocotools alone: encoded regions of later, larger ones lose what is taken."""
    mask = np.zeros((height, width), np.uint8)
    taken = coco_mask.encode(np.asfortranarray(mask))
    for category, encoded, _ in sorted(annotations, key=lambda annotation: annotation[2]):
        both = coco_mask.merge([encoded, taken])
        seen = coco_mask.decode(both).astype(bool) & ~coco_mask.decode(taken).astype(bool)
        mask[seen] = class_id(category)
        taken = both
    return mask


@settings(deadline=None)
@given(st.lists(ANNOTATION, min_size=1, max_size=6))
def test_overlaps_and_crowds_are_those_of_the_public_tables(annotations):
    height, width = 33, 27
    instances, encoded = [], []
    for number, (category, shape, area) in enumerate(annotations):
        if isinstance(shape, int):
            region = np.random.default_rng(shape).random((height, width)) < 0.4
            run = coco_mask.encode(np.asfortranarray(region.astype(np.uint8)))
            segmentation = {"size": run["size"], "counts": run["counts"].decode("ascii")}
        else:
            run, segmentation = coco_mask.merge(coco_mask.frPyObjects(shape, height, width)), shape
        instances.append(Instance(number, category, segmentation, area))
        encoded.append((category, run, area))
    found = semantic_mask(instances, height, width)
    assert (found == public_tables(encoded, height, width)).all()
    covered = coco_mask.area(coco_mask.merge([run for _, run, _ in encoded]))
    assert (found > 0).sum() == covered


def test_split_from_annotations(tmp_path):
    (tmp_path / "val2014").mkdir()
    (tmp_path / "annotations").mkdir()
    entries = [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg", "height": 6, "width": 8} for i in (9, 3, 5)]
    annotations = [
        {"id": i, "image_id": image, "area": 4, "category_id": 3, "segmentation": [square(0, 0, 2, 2)]} for i, image in enumerate((9, 3))
    ]
    stored = {"images": entries, "annotations": annotations, "categories": categories()}
    with pytest.raises(UsageProblem, match=r"instances_val2014\.json is missing"):
        open_dataset(f"coco:{tmp_path}", load_config("coco"))
    (tmp_path / "annotations" / "instances_val2014.json").write_text(json.dumps(stored), encoding="utf-8")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "val2014" / entries[1]["file_name"])
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "val2014" / entries[0]["file_name"])
    dataset = open_dataset(f"coco:{tmp_path}", load_config("coco"))
    assert len(dataset) == 2
    assert dataset[0].name == "COCO_val2014_000000000003"
    assert dataset[0].image.shape == (6, 8, 3)
    assert (dataset[0].mask == 3).sum() == 4
    with pytest.raises(CorruptData, match="its annotations say"):
        dataset[1]


@pytest.mark.parametrize(("size", "turned"), [((WIDTH, HEIGHT), False), ((HEIGHT, WIDTH), True)])
def test_an_image_is_read_in_the_frame_of_its_annotations(size, turned, tmp_path):
    root = write(tmp_path, content())
    stored = np.zeros((size[1], size[0], 3), np.uint8)
    stored[0, 0] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter to the right: the first pixel comes to the end of the first row
    Image.fromarray(stored).save(root / "val2014/COCO_val2014_000000000003.jpg", format="PNG", exif=exif)
    image = open_dataset(f"coco:{root}", load_config("coco"))[0].image
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.argwhere(image[..., 0]).tolist() == [[0, WIDTH - 1] if turned else [0, 0]]


def test_the_home_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, content())
    assert len(open_dataset("coco:~", load_config("coco"))) == 2
