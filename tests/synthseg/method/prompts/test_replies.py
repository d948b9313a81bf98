from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg.method.prompts.ratings import parse_ratings
from synthseg.method.prompts.replies import REASONS, form_fault, parse_captions, repair, shorten, storable

GOOD = "A brown horse galloping through a snowy meadow at dusk"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ('  1. "A brown  horse\ngalloping."', "A brown horse galloping"),
        ("A horse in the the the snow. It is nice. Really", "A horse in the snow"),
        ("A horse walking along a fence with a,.", "A horse walking along a fence"),
        ("A horse\u00a0\x00near\u200b a barn", "A horse near a barn"),
        ("", ""),
        ("Caption: A horse on a hill", "A horse on a hill"),
        ("**Caption 2:** A horse on a hill", "A horse on a hill"),
        ("Here is a photo caption: A horse on a hill", "A horse on a hill"),
        ("Sure! Here's a caption for you: \u201cA horse on a hill.\u201d", "A horse on a hill"),
        ("- **A brown horse** on a `hill`", "A brown horse on a hill"),
        ("* _A horse_ on a hill", "A horse on a hill"),
        ("\u2022 A horse on a hill", "A horse on a hill"),
        ("(3) A horse on a hill", "A horse on a hill"),
        ("### Photo 1: A horse on a hill", "A horse on a hill"),
        ("A shepherd\u2019s dog \u2014 brown and white \u2014 on a hill", "A shepherd's dog, brown and white, on a hill"),
        ("A horse\u2014brown\u2014on a hill", "A horse, brown, on a hill"),
        ("A well\u2011known black\u2013white cow", "A well-known black-white cow"),
        ("A cat in a caf\u00e9 in S\u00e3o Paulo", "A cat in a caf\u00e9 in S\u00e3o Paulo"),
        ("A cat in a cafe\u0301", "A cat in a caf\u00e9"),
        ("A horse \U0001f40e on a hill \u2728", "A horse on a hill"),
        ("A shepherd on a hill with a caf\\u00", "A shepherd on a hill with a caf"),
        ("Two horses at 10:30 on a hill", "Two horses at 10:30 on a hill"),
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
        ("A cat in a caf\u00e9 near the fa\u00e7ade of a hotel", ""),
        ("\u015api\u0105cy pies le\u017cy na \u0142\u0105ce a in", "not_english"),
        ("A \u043b\u043e\u0448\u0430\u0434\u044c in a field of grass", "not_english"),
        ("A horse in a \u8349\u539f on a hill", "not_english"),
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
        ("<think>A horse... or a cow?</think>\nA horse on a hill.", 1, ["A horse on a hill."]),
        ('<think>\n{"caption": "A draft of a horse."}\n</think>\n\n{"caption": "A horse on a hill."}', 1, ["A horse on a hill."]),
        ('A cow, or a horse?\n</think>\n{"caption": "A horse on a hill."}', 1, ["A horse on a hill."]),
        ("[THINK]A cow?[/THINK]A horse on a hill.", 1, ["A horse on a hill."]),
        ("\u25c1think\u25b7A cow?\u25c1/think\u25b7A horse on a hill.", 1, ["A horse on a hill."]),
        ("<|channel|>analysis<|message|>A cow?<|end|><|start|>assistant<|channel|>final<|message|>A horse on a hill.", 1,
         ["A horse on a hill."]),
        ("<think>A horse that gallops through the snow and then", 1, [""]),
        ('{"reasoning": "They want a horse in the snow.", "caption": "A horse on a hill."}', 1, ["A horse on a hill."]),
        ('{"thoughts": "They want a horse in the snow.", "1": "A horse.", "2": "Two cows."}', 2, ["A horse.", "Two cows."]),
        ('{"reasoning": "They want a horse in the snow and', 1, [""]),
        ('{"captions": [{"id": "one", "caption": "A horse."}, {"id": "two", "caption": "Two cows."}]}', 2, ["A horse.", "Two cows."]),
        ('{"captions": ["A shepherd\\u2019s dog on a hill", "A caf\\u00e9 at', 2, ["A shepherd\u2019s dog on a hill", "A caf\u00e9 at"]),
        ("{'captions': ['A horse on a hill.', 'Two cows.']}", 2, ["A horse on a hill.", "Two cows."]),
        ("{'captions': ['A shepherd's dog on a hill.', 'Two cows']", 2, ["A shepherd\u2019s dog on a hill.", "Two cows"]),
        ("{\u201ccaptions\u201d: [\u201cA horse on a hill.\u201d]}", 1, ["A horse on a hill."]),
        ('```json\n["A horse on a hill.", "Two cows."]\n```', 2, ["A horse on a hill.", "Two cows."]),
        ('["A horse on a hill.", "Two cows.",]', 2, ["A horse on a hill.", "Two cows."]),
        ("Here are two captions:\n\n1. A horse on a hill.\n2. Two cows.", 2, ["1. A horse on a hill.", "2. Two cows."]),
        ("```\nA horse on a hill.\n```", 1, ["A horse on a hill."]),
        ("A horse [brown] on a hill {far away}.", 1, ["A horse [brown] on a hill {far away}."]),
        ('Sure: "A shepherd\\u2019s dog on a hill"', 1, ["A shepherd\u2019s dog on a hill"]),
    ],
)  # fmt: skip
def test_parse_captions(text: str, count: int, captions: list[str]) -> None:
    assert parse_captions(text, count) == captions


def test_typographic_text_is_english_after_repair() -> None:
    caption = repair("\u201cA shepherd\u2019s dog \u2014 old and gray \u2014 beside a caf\u00e9\u2026\u201d")
    assert caption == "A shepherd's dog, old and gray, beside a caf\u00e9"
    assert form_fault(caption, 20) == ""
    assert storable(caption) == caption


@pytest.mark.parametrize(
    ("caption", "cut", "reason"),
    [("", True, "cut_short"), ("A horse", True, "cut_short"), (GOOD, True, ""), ("", False, "unparseable")],
)
def test_a_reply_that_its_token_limit_cut_says_so(caption: str, cut: bool, reason: str) -> None:
    assert form_fault(caption, 20, cut=cut) == reason


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(alphabet=st.characters(codec=None)), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape"))))
def test_any_reply_is_survived(text: str) -> None:
    for reply in (text, f'{{"caption": {json.dumps(text)}}}', f'{{"caption": "{text}'):
        for caption in parse_captions(reply, 2):
            clean = repair(caption)
            assert form_fault(clean, 20) in {"", *REASONS}
            storable(clean or caption).encode()
        assert all(1 <= mark <= 5 for mark in parse_ratings(reply))


@pytest.mark.parametrize("mark", ["[", "{", "{'a':", "\n", " ", "<think>", "] */ {", '"', "\u2014", "1/"])
@pytest.mark.parametrize("tail", ["", "x", '"'])
@pytest.mark.timeout(20)
def test_a_long_and_broken_reply_takes_no_long_time(mark: str, tail: str) -> None:
    """A step that is quadratic in a reply takes minutes here."""
    text = mark * 20_000 + tail
    for caption in parse_captions(text, 2):
        form_fault(repair(caption), 20)
    parse_ratings(text)
