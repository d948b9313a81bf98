"""An LLM's reply is data: parsed, repaired once, else refused with a reason of a closed list. Any text is survived."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections import Counter
from typing import Any, Final

REASONS: Final = (
    "unparseable", "too_short", "too_long", "repetitive", "not_english", "class_missing", "negated", "class_present", "context_present",
    "off_class", "other_class_dominates", "low_quality", "near_duplicate", "quota_met",
)  # fmt: skip
"""Every reason of the agent's own for which a candidate may be refused; an image engine's check adds its own."""

MIN_WORDS: Final = 5
RATING_KEYS: Final = ("fluency", "realism", "visible")
TOP_RATING: Final = 5

_MAX_STORED_CHARS = 600
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+", "a an the of in on at with and to from by for as is are near under over beside behind through across along against into"
    )
)
_DANGLING = _FUNCTION_WORDS | frozenset(re.findall(r"\w+", "or its his her their while that which"))
_PHRASE_STARTS = frozenset(
    re.findall(r"\w+", "in on at with and to from by for as near under over beside behind through across while that")
)
_FOREIGN_WORDS = frozenset(
    re.findall(r"\w+", "el la los las del de un una que les le des et und der die das ein il di y en por para con sur dans")
)
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_GARBAGE = re.compile(r"(\w)\1{3,}|\b[^\W\daeiouyAEIOUY_]{5,}\b")


def parse_captions(text: str, count: int) -> list[str]:
    """The `count` raw captions of a reply; an empty string where one is missing. JSON as asked for, else what can be found."""
    value = _loads(text)
    found = _strings(value) if value is not None else re.findall(r'"((?:[^"\\]|\\.){12,})', text)
    if not found and value is None:
        found = [line for line in text.splitlines() if line.strip()] if count > 1 else [text]
    return [*found[:count], *[""] * (count - len(found))]


def parse_ratings(text: str) -> tuple[int, int, int]:
    """Marks (fluency, realism, visible) in 1..TOP_RATING; a mark that cannot be read is the lowest."""
    value = _loads(text)
    if isinstance(value, dict):
        value = [value.get(key) for key in RATING_KEYS]
    if not isinstance(value, list):
        value = [int(mark) for mark in re.findall(rf"\b[1-{TOP_RATING}]\b", text)]
    marks = [*value, None, None, None][: len(RATING_KEYS)]
    fluency, realism, visible = (m if type(m) is int and 1 <= m <= TOP_RATING else 1 for m in marks)
    return fluency, realism, visible


def repair(caption: str) -> str:
    """`caption` as one clean line: no control characters, list marks or quotes, its first sentence, no doubled words, no loose end."""
    text = unicodedata.normalize("NFKC", caption.encode("utf-8", "replace").decode("utf-8"))
    text = "".join(c if c.isprintable() else " " for c in text)
    text = re.sub(r"^\W*(?:\d{1,2}[.):]\s+)?[\W_]*", "", re.sub(r"\s+", " ", text))
    text = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    text = re.sub(r"\b(\w+)(?:[ ,]+\1\b)+", r"\1", text, flags=re.IGNORECASE)
    words = re.sub(r"[\s,;:.!?\"'`)(\]\[{}-]+$", "", text).split()
    while words and words[-1].lower().strip(",") in _DANGLING:
        words.pop()
    return " ".join(words).rstrip(" ,;:-")


def shorten(caption: str, max_words: int) -> str:
    """`caption` cut before the last phrase that passes `max_words`, or as it was where no phrase begins early enough."""
    words = caption.split()
    if len(words) <= max_words:
        return caption
    starts = [i for i in range(MIN_WORDS, max_words + 1) if words[i].lower() in _PHRASE_STARTS]
    return repair(" ".join(words[: starts[-1]])) if starts else caption


def form_fault(caption: str, max_words: int) -> str:
    """Why a repaired caption is refused for its form alone, or an empty string."""
    words = [word.lower() for word in _WORD.findall(caption)]
    if not words:
        return "unparseable"
    if len(words) < MIN_WORDS:
        return "too_short"
    if len(words) > max_words or len(caption) > 12 * max_words:
        return "too_long"
    if _is_repetitive(words):
        return "repetitive"
    foreign = sum(word in _FOREIGN_WORDS for word in words)
    if not caption.isascii() or foreign >= 2 or not _FUNCTION_WORDS.intersection(words) or _GARBAGE.search(caption):
        return "not_english"
    return ""


def storable(text: str) -> str:
    """`text` cut and cleaned so that any reply, however broken, fits a UTF-8 column."""
    return text[:_MAX_STORED_CHARS].encode("utf-8", "replace").decode("utf-8")


def _is_repetitive(words: list[str]) -> bool:
    content = [word for word in words if word not in _FUNCTION_WORDS]
    if not content or max(Counter(content).values()) > 2:
        return True
    pairs = Counter(itertools.pairwise(words))
    return max(pairs.values()) > 2 or len(set(content)) < 0.7 * len(content)


def _loads(text: str) -> Any:
    """JSON of the whole text, or of its outermost braces; None when there is none."""
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            return json.loads(part)
        except (ValueError, RecursionError):
            continue
    return None


def _strings(value: Any) -> list[str]:
    """The strings of a reply, in order, at most three levels deep."""
    level = [value]
    for _ in range(3):
        opened: list[Any] = []
        for item in level:
            opened += item.values() if isinstance(item, dict) else item if isinstance(item, list) else [item]
        level = opened
    return [item for item in level if isinstance(item, str)]
