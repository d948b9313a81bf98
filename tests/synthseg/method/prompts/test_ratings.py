from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg.method.prompts.ratings import RATING_KEYS, TOP_RATING, parse_ratings, read_marks

Marks = tuple[int, int, int]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("[5, 4,\n 3]", (5, 4, 3)),
        ('{"fluency": 2, "realism": 3, "visible": 4}', (2, 3, 4)),
        ("[5, 4", (5, 4, 1)),
        ("[9, true, 2.5]", (1, 1, 1)),
        ("nonsense", (1, 1, 1)),
        ("", (1, 1, 1)),
        ("null", (1, 1, 1)),
        ('["5", "4", "3"]', (5, 4, 3)),
        ("[5.0, 4.0, 3.0]", (5, 4, 3)),
        ('["5.0", "4 (good)", "3 - dull"]', (5, 4, 3)),
        ('{"ratings": [5, 4, 3]}', (5, 4, 3)),
        ('{"ratings": {"Fluency": 5, "Realism": 4, "Visibility": 3}}', (5, 4, 3)),
        ('{"Fluency": 5, "Realism": "4", "Visible": 3.0}', (5, 4, 3)),
        ('{"Fluency": 5}', (5, 1, 1)),
        ('{"fluency": {"score": 5, "why": "plain"}, "realism": {"score": 4}, "visible": {"score": 2}}', (5, 4, 2)),
        ('[{"fluency": 5}, {"realism": 4}, {"visible": 3}]', (5, 4, 3)),
        ('{"scores": [{"fluency": 5, "realism": 4, "visible": 3}]}', (5, 4, 3)),
        ("{'fluency': 5, 'realism': 4, 'visible': 3}", (5, 4, 3)),
        ('["4/5", "5/5", "3/5"]', (4, 5, 3)),
        ("4/5, 5/5, 3/5", (4, 5, 3)),
        ('["8/10", "10/10", "7/10"]', (4, 5, 4)),
        ("[4 out of 5, 3 out of 5, 2 out of 5]", (4, 3, 2)),
        ("4/5", (4, 4, 4)),
        ("8/10", (4, 4, 4)),
        ("5", (5, 5, 5)),
        ('"5"', (5, 5, 5)),
        ("I would give it a 4.", (4, 4, 4)),
        ("Fluency: 5\nRealism: 4\nVisible: 3", (5, 4, 3)),
        ("1. **Fluency**: 5\n2. **Realism**: 4\n3. **Visible**: 3", (5, 4, 3)),
        ("Fluency: 5/5, Realism: 8/10, Visible: 3/5", (5, 4, 3)),
        ("Fluency is 5, realism score: 4, visibility = 3", (5, 4, 3)),
        ("From 1 to 5, I give [5, 4, 3].", (5, 4, 3)),
        ("```json\n[5, 4, 3]\n```", (5, 4, 3)),
        ("<think>3 out of 5? No, 2.</think>[5, 4, 3]", (5, 4, 3)),
        ("I give 2... </think>\n[5, 4, 3]", (5, 4, 3)),
        ("<think>Fluency: 5, Realism: 4", (1, 1, 1)),
        ('{"reasoning": "it has 3 faults", "ratings": [5, 4, 3]}', (5, 4, 3)),
        ('{"fluency_reason": "plain", "fluency": 5, "realism": 4, "visible": 3}', (5, 4, 3)),
        ('{"notes": ["a horse"], "ratings": [5, 4, 3]}', (5, 4, 3)),
        ('{"mark": 7}', (1, 1, 1)),
        ('["0/0", "9/5", "-4"]', (1, 1, 1)),
    ],
)  # fmt: skip
def test_parse_ratings(text: str, marks: Marks) -> None:
    assert parse_ratings(text) == marks


def test_what_cannot_be_read_is_told_apart_from_a_low_mark() -> None:
    assert read_marks("[1, 1, 1]") == (1, 1, 1)
    assert read_marks("<think>well") == (None, None, None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
)


@given(VALUES)
def test_any_value_gives_marks_of_the_scale(value: object) -> None:
    for text in (repr(value), json.dumps(value)):
        marks = parse_ratings(text)
        assert len(marks) == len(RATING_KEYS)
        assert all(1 <= mark <= TOP_RATING for mark in marks)
