"""The marks of a reply, in whatever form a model gives them. A mark that cannot be read is the lowest."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from synthseg.method.prompts.loose_json import read_json, without_reasoning

RATING_KEYS: Final = ("fluency", "realism", "visible")
TOP_RATING: Final = 5

_STEMS: Final = ("fluen", "reali", "visib")
_DEPTH: Final = 3
_NUMBER: Final = r"\d{1,4}(?:\.\d{1,4})?"
_SHARE: Final = re.compile(rf"({_NUMBER})\s*(?:/|out of)\s*({_NUMBER})", re.IGNORECASE)
_LONE: Final = re.compile(rf"^[\s*\"'(]*({_NUMBER})(?![\d.]*\d)")
_WORDS_BETWEEN: Final = r"\w*\W{1,6}(?:(?:is|score|rating|mark)\W{1,3})?"
_NAMED: Final = tuple(re.compile(rf"\b{stem}{_WORDS_BETWEEN}({_NUMBER}(?:\s*/\s*{_NUMBER})?)", re.IGNORECASE) for stem in _STEMS)

Marks = tuple[int | None, ...]
"""One for each of RATING_KEYS; None where it cannot be read."""


def parse_ratings(text: str) -> tuple[int, int, int]:
    """Marks (fluency, realism, visible) in 1..TOP_RATING; a mark that cannot be read is the lowest. A lone mark stands for all three."""
    fluency, realism, visible = (mark or 1 for mark in read_marks(text))
    return fluency, realism, visible


def read_marks(text: str) -> Marks:
    """As `parse_ratings`, with None for what cannot be read."""
    text = without_reasoning(text)
    value = read_json(text)
    loose = _SHARE.search(text) and not _is_json(text)  # "4 out of 5" in brackets is no list of numbers
    return _of_text(text) if value is None or loose else _of_value(value, _DEPTH)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _of_value(value: Any, depth: int) -> Marks:
    if isinstance(value, dict):
        return _of_object(value, depth)
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], list | dict) and depth:
            return _of_value(value[0], depth - 1)
        if value and all(isinstance(item, dict) for item in value):
            return _of_object({key: mark for item in value for key, mark in item.items()}, depth)
        return _padded([_mark(item) for item in value])
    return (_mark(value),) * len(RATING_KEYS) if not isinstance(value, str) or _mark(value) else _of_text(value)


def _of_object(value: dict[str, Any], depth: int) -> Marks:
    named = [next(filter(None, (_mark(mark) for key, mark in value.items() if _begins(key, stem))), None) for stem in _STEMS]
    if any(named):
        return tuple(named)
    inner = (_of_value(item, depth - 1) for item in value.values() if isinstance(item, list | dict) and depth)
    if found := next(filter(any, inner), None):
        return found
    marks = [mark for mark in map(_mark, value.values()) if mark]
    return tuple(marks * len(RATING_KEYS)) if len(marks) == 1 else _padded(list(marks))


def _begins(key: str, stem: str) -> bool:
    return key.strip().lower().startswith(stem)


def _of_text(text: str) -> Marks:
    named = [_mark(found[1]) if (found := pattern.search(text)) else None for pattern in _NAMED]
    if any(named):
        return tuple(named)
    marks = [_scaled(*share) for share in _SHARE.findall(text)] or [int(mark) for mark in re.findall(rf"\b[1-{TOP_RATING}]\b", text)]
    return tuple(marks * len(RATING_KEYS)) if len(marks) == 1 else _padded(list(marks))


def _padded(marks: list[int | None]) -> Marks:
    return tuple([*marks, None, None, None][: len(RATING_KEYS)])


def _mark(value: Any) -> int | None:
    """A whole number of 1..TOP_RATING, "5" or 5.0 too, or a share such as "8/10"; in an object or list the first that is one."""
    if isinstance(value, list | dict):
        return next((mark for item in (value.values() if isinstance(value, dict) else value) if (mark := _flat_mark(item))), None)
    return _flat_mark(value)


def _flat_mark(value: Any) -> int | None:
    if isinstance(value, str):
        if share := _SHARE.search(value):
            return _scaled(share[1], share[2])
        lone = _LONE.match(value)
        value = float(lone[1]) if lone else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in range(1, TOP_RATING + 1):
        return None
    return int(value)


def _scaled(part: str, whole: str) -> int | None:
    """`part` of `whole` on the scale of TOP_RATING, halves upwards."""
    if not 0 <= float(part) <= float(whole) or float(whole) == 0:
        return None
    return min(TOP_RATING, max(1, math.floor(TOP_RATING * float(part) / float(whole) + 0.5)))
