from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthseg.report import charts
from synthseg.report.charts import Group

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30), st.lists(FINITE, max_size=30))
def test_a_histogram_is_valid_svg_that_counts_every_value(first: list[float], second: list[float]) -> None:
    drawing = charts.histogram([Group("a", first, "red"), Group("b", second, "blue")], "x & y")
    ET.fromstring(drawing)
    counted = [int(n) for n in re.findall(r"<title>[ab]: (\d+) in", drawing)]
    assert sum(counted) == len(first) + len(second)


def test_names_are_escaped() -> None:
    drawing = charts.histogram([Group("<a>", [1.0, 2.0], "red")], "<b>", marker=1.5, marker_name="<c>")
    assert not re.search(r"<[abc]>", drawing)


@settings(max_examples=30, deadline=None)
@example([(0.0, -10.0), (1.0, -1.0)])
@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20))
def test_lines_stay_inside_their_frame(points: list[tuple[float, float]]) -> None:
    drawing = charts.lines({"loss": sorted(points)}, "iteration", "loss")
    root = ET.fromstring(drawing)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    for pair in root.find("polyline").attrib["points"].split():  # type: ignore[union-attr]
        x, y = (float(v) for v in pair.split(","))
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_rounds_show_the_share_that_was_accepted() -> None:
    drawing = charts.rounds([(0, 40, 30), (1, 0, 0)])
    assert "75%" in drawing
    assert "round 0: 30 of 40 accepted" in drawing


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (0, 100, [0, 25, 50, 75, 100]), (3, 3, [3]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == expected
