from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg.prompts.replies import REASONS, form_fault, parse_captions, parse_ratings, repair, shorten, storable

GOOD = "A brown horse galloping through a snowy meadow at dusk"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ('  1. "A brown  horse\ngalloping."', "A brown horse galloping"),
        ("A horse in the the the snow. It is nice. Really", "A horse in the snow"),
        ("A horse walking along a fence with a,.", "A horse walking along a fence"),
        ("A horse\u00a0\x00near\u200b a barn", "A horse near a barn"),
        ("", ""),
    ],
)
def test_repair(raw: str, clean: str) -> None:
    assert repair(raw) == clean


def test_a_long_caption_is_cut_at_a_phrase() -> None:
    assert shorten(GOOD, 10) == GOOD
    assert shorten(GOOD, 9) == "A brown horse galloping through a snowy meadow"
    assert shorten(GOOD + " over there with frontofaelonet", 12) == GOOD + " over there"
    assert shorten("word " * 40, 12) == "word " * 40


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        (GOOD, ""),
        ("", "unparseable"),
        ("A horse", "too_short"),
        (GOOD + " and then on to the hills behind the barn near the lake where we live", "too_long"),
        ("A horse with a horse near a horse in grass", "repetitive"),
        ("A photo de la comuna de la placa", "not_english"),
        ("A horse in the jjjjjjj moula street", "not_english"),
        ("horse meadow dusk brown snow galloping", "not_english"),
    ],
)
def test_form_fault(caption: str, reason: str) -> None:
    assert form_fault(caption, max_words=20) == reason


@pytest.mark.parametrize(
    ("text", "count", "captions"),
    [
        ('{"caption": "A horse."}', 1, ["A horse."]),
        ('{"captions": ["A horse.", "Two cows."]}', 2, ["A horse.", "Two cows."]),
        ('{"captions": ["A horse."]}', 2, ["A horse.", ""]),
        ('Sure! {"caption": "A horse."} Enjoy', 1, ["A horse."]),
        ('{"caption": "A horse galloping on', 1, ["A horse galloping on"]),
        ("A horse on a hill.", 1, ["A horse on a hill."]),
        ('[[[[[["deep"]]]]]]', 1, [""]),
        ("[" * 100_000, 1, ["[" * 100_000]),
    ],
)  # fmt: skip
def test_parse_captions(text: str, count: int, captions: list[str]) -> None:
    assert parse_captions(text, count) == captions


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("[5, 4,\n 3]", (5, 4, 3)),
        ('{"fluency": 2, "realism": 3, "visible": 4}', (2, 3, 4)),
        ("[5, 4", (5, 4, 1)),
        ("[9, true, 2.5]", (1, 1, 1)),
        ("nonsense", (1, 1, 1)),
        ("", (1, 1, 1)),
    ],
)
def test_parse_ratings(text: str, marks: tuple[int, int, int]) -> None:
    assert parse_ratings(text) == marks


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(alphabet=st.characters(codec=None)), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape"))))
def test_any_reply_is_survived(text: str) -> None:
    for reply in (text, f'{{"caption": {json.dumps(text)}}}', f'{{"caption": "{text}'):
        for caption in parse_captions(reply, 2):
            clean = repair(caption)
            assert form_fault(clean, 20) in {"", *REASONS}
            storable(clean or caption).encode()
        assert all(1 <= mark <= 5 for mark in parse_ratings(reply))
