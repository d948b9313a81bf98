"""Regions of COCO against pycocotools itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from synthseg.datasets.coco_regions import decode_region, decompress_counts
from tests.synthseg.datasets.coco_files import square


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


def run_lengths(region):
    """Plain run lengths of a region (H, W), down the columns, background first."""
    flat = region.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def tool(segmentation, height, width):
    """What COCO's own API makes of an annotation."""
    api = COCO()
    api.imgs = {1: {"height": height, "width": width}}
    return api.annToMask({"image_id": 1, "segmentation": segmentation})


SIZE = st.integers(1, 40)
CORNER = st.floats(-60, 100, allow_nan=False, width=32)
POLYGON = st.lists(st.tuples(CORNER, CORNER), min_size=3, max_size=9).map(
    lambda corners: [number for corner in corners for number in corner]
)


def test_polygons_fill_the_pixels_whose_centre_they_hold():
    found = decode_region([square(1, 2, 4, 5), square(6.6, 0, 8.3, 1)], 6, 9)
    expected = np.zeros((6, 9), bool)
    expected[2:5, 1:4] = True
    expected[0, 7] = True
    np.testing.assert_array_equal(found, expected)
    assert not decode_region([square(20, 20, 30, 30)], 6, 9).any()


@settings(deadline=None)
@given(st.lists(POLYGON, min_size=1, max_size=4), SIZE, SIZE)
def test_polygons_are_pycocotools(polygons, height, width):
    # Corners reach at most 100 pixels out, and an image of 1 x 1 allows 10.
    height, width = height + 10, width + 10
    found = decode_region(polygons, height, width)
    assert found.shape == (height, width)
    assert (found == tool(polygons, height, width)).all()
    assert found.sum() == coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))


def test_a_disc_has_the_area_that_coco_gives_it():
    # The issue's own input: filled with its outline it was 1.033 times as large.
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    areas = []
    for x in np.linspace(20, 21, 7):
        corners = np.stack([x + 8 * np.cos(angles), 20.3 + 8 * np.sin(angles)], axis=1)
        areas.append(decode_region([corners.ravel().tolist()], 41, 43).sum())
        assert areas[-1] == coco_mask.area(coco_mask.frPyObjects([corners.ravel().tolist()], 41, 43)[0])
    assert np.mean(areas) == pytest.approx(np.pi * 64, rel=0.015)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), SIZE, SIZE, st.floats(0, 1))
def test_run_lengths_are_pycocotools_plain_and_compressed(seed, height, width, share):
    region = np.random.default_rng(seed).random((height, width)) < share
    encoded = coco_mask.encode(np.asfortranarray(region.astype(np.uint8)))
    text = encoded["counts"].decode("ascii")
    assert decompress_counts(text) == run_lengths(region)
    for counts in (text, run_lengths(region)):
        found = decode_region({"counts": counts, "size": [height, width]}, height, width)
        assert (found == region).all()
        assert (found == tool({"counts": counts, "size": [height, width]}, height, width)).all()
        assert found.sum() == coco_mask.area(encoded)


def test_run_lengths_go_down_the_columns_plain_or_compressed():
    region = np.random.default_rng(0).random((13, 11)) < 0.4
    region[:, 4:7] = True
    lengths = run_lengths(region)
    assert decompress_counts(compress(lengths)) == lengths
    assert decompress_counts(compress([3, 1000, 7, 20, 70000])) == [3, 1000, 7, 20, 70000]
    for counts in (lengths, compress(lengths)):
        np.testing.assert_array_equal(decode_region({"counts": counts, "size": [13, 11]}, 13, 11), region)
    with pytest.raises(ValueError, match="run lengths"):
        decode_region({"counts": [3, 4]}, 13, 11)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([], "no polygon"),
        ([[]], "a polygon has 0 coordinates"),
        ([[1, 2, 3, 4]], "a polygon has 4 coordinates"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon has 7 coordinates"),
        ([square(0, 0, 2, 2), [1, 1]], "a polygon has 2 coordinates"),
        ([1, 2, 3, 4, 5, 6], "a list of polygons, each a list"),
        ([[[1, 2], [3, 4], [5, 6]]], "a polygon has 3 coordinates"),
        ([["1", "2", "3", "4", "5", "6"]], "no number"),
        ([[1, 2, 3, 4, 5, None]], "no number"),
        ([[1, 2, 3, 4, 5, True]], "no number"),
        ([[1, 2, 3, 4, 5, float("nan")]], "no number"),
        ([[1, 2, 3, 4, 5, float("inf")]], "no number"),
        ([[1, 2, 3, 4, 5, 10**400]], "far outside"),
        ([[1, 2, 3, 4, 5, 91]], "far outside"),
        (None, "list of polygons or an object"),
        ("[[1, 2, 3]]", "list of polygons or an object"),
        (7, "list of polygons or an object"),
        ({}, "list of polygons or an object"),
        ({"counts": None}, "whole numbers"),
        ({"counts": {}}, "whole numbers"),
        ({"counts": [3.5, 50.5]}, "whole numbers"),
        ({"counts": [60, -6]}, "none below 0"),
        ({"counts": ["54"]}, "whole numbers"),
        ({"counts": []}, "add up to 0, the image has 54"),
        ({"counts": [3, 4]}, "add up to 7"),
        ({"counts": [3, 52]}, "add up to 55"),
        ({"counts": [2**40]}, "add up to"),
        ({"counts": "34"}, "add up to 7"),
        ({"counts": "3P"}, "end in the middle"),
        ({"counts": "é"}, "hold the character"),
        ({"counts": "\0"}, "hold the character"),
        ({"counts": "0" * 3 + "O"}, "none below 0"),
        ({"counts": [54], "size": [9, 6]}, r"size \[9, 6\], the image is \[6, 9\]"),
        ({"counts": [54], "size": None}, "size None"),
    ],
)
def test_whatever_else_is_refused_in_words(segmentation, says):
    with pytest.raises(ValueError, match=says):
        decode_region(segmentation, 6, 9)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_compressed_counts_are_right_or_refused(text):
    try:
        found = decode_region({"counts": text}, 5, 4)
    except ValueError:
        return
    lengths = decompress_counts(text)
    assert sum(lengths) == 20
    assert found.sum() == sum(lengths[1::2])
