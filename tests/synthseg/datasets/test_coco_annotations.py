"""Annotation files: COCO's own are read, every other one is refused with file and annotation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg.config.loading import load_config
from synthseg.datasets import coco
from synthseg.datasets.base import num_samples, open_dataset
from synthseg.datasets.coco_annotations import read_annotations
from synthseg.errors import CorruptData, UsageProblem
from synthseg.machine.availability import check_dataset
from tests.synthseg.datasets.coco_files import ANNOTATIONS, HEIGHT, WIDTH, content, square, write

CONFIG = load_config("coco")
GONE = object()


def masks(root: Path) -> list[np.ndarray]:
    dataset = open_dataset(f"coco:{root}", CONFIG)
    return [dataset[i].mask for i in range(len(dataset))]


def expected() -> np.ndarray:
    mask = np.full((HEIGHT, WIDTH), 17, np.uint8)
    mask[:2, :2] = 3
    return mask


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The good content with `value` at `path`, or without what is there (GONE)."""
    made = copy.deepcopy(content())
    *where, last = path
    found: Any = made
    for part in where:
        found = found[part]
    if value is GONE:
        del found[last]
    else:
        found[last] = value
    return made


def test_the_good_file_is_read(tmp_path):
    assert [mask.tolist() for mask in masks(write(tmp_path, content()))] == [expected().tolist()] * 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_read(encoding, tmp_path):
    root = write(tmp_path, json.dumps(content()).encode(encoding))
    assert len(masks(root)) == 2


def test_the_area_is_counted_where_the_file_has_none(tmp_path):
    made = content()
    for annotation in made["annotations"]:
        annotation.pop("area")
    made["annotations"][1]["area"] = None
    assert [mask.tolist() for mask in masks(write(tmp_path, made))] == [expected().tolist()] * 2


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (json.dumps(content()).encode()[:-30], "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
        (b"<!DOCTYPE html><html><body>Moved</body></html>", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"null", "has no list of images"),
        (b"[]", "has no list of images"),
        (b"7", "has no list of images"),
        (json.dumps([{"image_id": 3, "category_id": 1, "score": 0.9}]).encode(), "has no list of images"),
        (changed(("images",), GONE), "has no list of images"),
        (changed(("annotations",), GONE), "has no list of annotations"),
        (changed(("annotations",), {"1": {}}), "has no list of annotations"),
        (changed(("categories",), GONE), "has no list of categories"),
        (changed(("categories", 0, "name"), "bus"), "category 1 is 'bus', in COCO it is 'person'"),
        (changed(("annotations", 2), {"id": 7, "image_id": 3, "caption": "A car."}), "annotation 7: the file holds captions"),
        (changed(("annotations", 0), {"image_id": 3, "segments_info": [], "file_name": "3.png"}), "annotation number 1 .* panoptic"),
        (changed(("annotations", 1, "keypoints"), [0, 0, 0]), "annotation 2: the file holds keypoints"),
    ],
)
def test_other_files_are_refused_with_their_name(made, says, tmp_path):
    write(tmp_path, made)
    with pytest.raises(CorruptData, match=rf"{ANNOTATIONS}: .*{says}|{ANNOTATIONS}: {says}"):
        open_dataset(f"coco:{tmp_path}", CONFIG)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("segmentation", GONE, "segmentation is missing"),
        ("segmentation", None, "segmentation must be polygons or run lengths, not None"),
        ("segmentation", "", "segmentation must be polygons or run lengths"),
        ("segmentation", [], "segmentation has no polygon"),
        ("segmentation", [[]], "a polygon has 0 coordinates"),
        ("segmentation", [0, 0, 2, 0, 2, 2], "a list of polygons, each a list"),
        ("segmentation", [[0, 0, 2, 0, 2]], "a polygon has 5 coordinates"),
        ("segmentation", [[0, 0, 2, 0, 2, "2"]], "no number"),
        ("id", GONE, ""),
        ("id", "3", ""),
        ("image_id", GONE, "image_id is missing"),
        ("image_id", 4, "image_id 4 is not among the images"),
        ("image_id", [3], "image_id must be a whole number"),
        ("category_id", GONE, "category_id is missing"),
        ("category_id", "car", "category_id must be a whole number, not 'car'"),
        ("category_id", "3", "category_id must be a whole number"),
        ("category_id", None, "category_id must be a whole number"),
        ("category_id", True, "category_id must be a whole number"),
        ("area", "4", "area must be a number, not '4'"),
        ("area", -1, "area must be a number"),
        ("area", float("nan"), "area must be a number"),
        ("area", float("inf"), "area must be a number"),
        ("area", [4], "area must be a number"),
    ],
)
def test_a_broken_annotation_is_refused_with_file_and_id(field, value, says, tmp_path):
    write(tmp_path, changed(("annotations", 2, field), value))
    named = "annotation number 3 of the file" if field == "id" else "annotation 3"
    with pytest.raises(CorruptData, match=f"{ANNOTATIONS}: {named}: .*{says or 'id '}"):
        open_dataset(f"coco:{tmp_path}", CONFIG)


def test_a_message_stays_short(tmp_path):
    write(tmp_path, changed(("annotations", 2), ["x" * 10_000] * 10_000))
    with pytest.raises(CorruptData) as caught:
        open_dataset(f"coco:{tmp_path}", CONFIG)
    assert len(str(caught.value)) < len(str(tmp_path)) + 400


@pytest.mark.parametrize("entry", [None, 7, "car", [1, 2], {}])
@pytest.mark.parametrize("what", ["images", "annotations"])
def test_an_entry_that_is_none_is_named_by_its_place(what, entry, tmp_path):
    write(tmp_path, changed((what, 1), entry))
    with pytest.raises(CorruptData, match=f"{ANNOTATIONS}: {what[:-1]} number 2 of the file: "):
        open_dataset(f"coco:{tmp_path}", CONFIG)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ({"counts": [3, 4], "size": [HEIGHT, WIDTH]}, "run lengths add up to 7"),
        ({"counts": "34", "size": [HEIGHT, WIDTH]}, "run lengths add up to 7"),
        ({"counts": "3P"}, "end in the middle"),
        ({"size": [HEIGHT, WIDTH]}, "an object with counts"),
        ({"counts": [0, 48], "size": [WIDTH, HEIGHT]}, "run lengths are of size"),
        ([square(0, 0, 1e6, 2)], "far outside the image"),
    ],
)
def test_a_region_that_does_not_fit_its_image_is_refused_with_file_and_id(segmentation, says, tmp_path):
    dataset = open_dataset(f"coco:{write(tmp_path, changed(('annotations', 2, 'segmentation'), segmentation))}", CONFIG)
    with pytest.raises(CorruptData, match=f"{ANNOTATIONS}: annotation 3: .*{says}"):
        dataset[0]
    assert (dataset[1].mask == expected()).all()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("file_name", GONE, "file_name is missing"),
        ("file_name", None, "file_name must be a text"),
        ("file_name", 3, "file_name must be a text"),
        ("file_name", "", "no name of a file"),
        ("file_name", "../val2014/COCO_val2014_000000000003.jpg", "no name of a file below"),
        ("file_name", "/etc/passwd", "no name of a file below"),
        ("file_name", "COCO_val2014_000000000009.jpg", "listed twice"),
        ("height", GONE, "height is missing"),
        ("height", 0, "height and width must be at least 1"),
        ("width", "8", "width must be a whole number"),
        ("width", 8.0, "width must be a whole number"),
        ("id", 9, "listed twice"),
    ],
)
def test_a_broken_image_is_refused_with_file_and_id(field, value, says, tmp_path):
    write(tmp_path, changed(("images", 1, field), value))
    with pytest.raises(CorruptData, match=f"{ANNOTATIONS}: image {9 if field == 'id' else 3}: .*{says}"):
        open_dataset(f"coco:{tmp_path}", CONFIG)


def test_an_image_that_is_not_there_is_named_at_the_start(tmp_path):
    write(tmp_path, content())
    (tmp_path / "val2014/COCO_val2014_000000000005.jpg").unlink()  # without annotations: not part of the split
    assert len(masks(tmp_path)) == 2
    (tmp_path / "val2014/COCO_val2014_000000000009.jpg").unlink()
    with pytest.raises(CorruptData, match=rf"000000000009\.jpg: is missing, but .*{ANNOTATIONS} names it"):
        open_dataset(f"coco:{tmp_path}", CONFIG)


def test_no_annotation_is_an_empty_split(tmp_path):
    write(tmp_path, changed(("annotations",), []))
    with pytest.raises(UsageProblem, match="annotates no image"):
        open_dataset(f"coco:{tmp_path}", CONFIG)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("coco"), content())


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "counts", "size", "name"]), inner, max_size=3),
    max_leaves=6,
)


def paths(found: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    parts = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [place for name, inner in parts for place in ((*before, name), *paths(inner, (*before, name)))]


PLACES = [place for place in paths(content()) if place[0] != "categories" or place[1:2] in ((), (0,), (2,))]
NEEDED = {"images": {"id", "file_name", "height", "width"}, "annotations": {"id", "image_id", "category_id", "segmentation"}}


@settings(deadline=None)
@given(st.sampled_from(PLACES), st.just(GONE) | ANY_VALUE)
def test_any_change_gives_masks_of_known_values_or_is_refused(dataset, place, value):
    (dataset / ANNOTATIONS).write_text(json.dumps(changed(place, value)), encoding="utf-8")
    try:
        found = masks(dataset)
    except (CorruptData, UsageProblem) as error:
        assert str(dataset) in str(error)  # noqa: PT017 - both ends are right, and this is one of them
        return
    for mask in found:
        assert mask.shape == (HEIGHT, WIDTH)
        assert set(np.unique(mask).tolist()) <= {*range(81)}
    # What the mask depends on has not become something else without a word.
    if len(place) == 3 and place[0] in NEEDED and place[2] in NEEDED[place[0]] and place[2] not in ("segmentation", "category_id"):
        assert value is not GONE
        # The file of an image without annotations, which is not part of the split, may have any name.
        unused = place[2] == "file_name" and content()["images"][place[1]]["id"] == 5
        assert type(value) is (str if unused else int)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3000))
def test_any_damage_of_the_bytes_is_refused_or_harmless(dataset, junk, start):
    good = json.dumps(content()).encode()
    (dataset / ANNOTATIONS).write_bytes(good[:start] + junk + good[start + len(junk) :])
    try:
        found = masks(dataset)
    except (CorruptData, UsageProblem) as error:
        assert str(dataset) in str(error)  # noqa: PT017 - as above
        return
    assert all(mask.shape == (HEIGHT, WIDTH) for mask in found)


def test_the_driver_reads_the_annotations_once_and_again_when_they_change(tmp_path, monkeypatch):
    spec = f"coco:{write(tmp_path, content())}"
    config, first = (load_config("coco", [f"evaluation.dataset={spec}", f"evaluation.num_images={limit}"]) for limit in (0, 1))
    read = []
    monkeypatch.setattr(coco, "read_annotations", lambda *paths: read.append(paths) or read_annotations(*paths))
    check_dataset(config)
    assert (num_samples(spec, config), num_samples(spec, first), len(read)) == (2, 1, 1)
    fewer = content()
    fewer["annotations"] = fewer["annotations"][:2]
    write(tmp_path, fewer)
    assert (num_samples(spec, config), len(read)) == (1, 2)
    (tmp_path / ANNOTATIONS).unlink()
    with pytest.raises(UsageProblem, match="is missing"):
        num_samples(spec, config)
