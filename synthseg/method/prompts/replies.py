"""An LLM's reply is data: parsed, repaired once, else refused with a reason of a closed list. Any text is survived."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from typing import Final

from synthseg.method.prompts.loose_json import captions_in, read_json, without_reasoning

REASONS: Final = (
    "unparseable", "cut_short", "too_short", "too_long", "repetitive", "not_english", "class_missing", "negated", "class_present",
    "context_present", "off_class", "other_class_dominates", "low_quality", "near_duplicate", "quota_met",
)  # fmt: skip
"""Every reason of the agent's own for which a candidate may be refused; an image engine's check adds its own."""

CUT_SHORT: Final = "cut_short"
"""The reply ended at its token limit before it held a caption or a mark."""
MIN_WORDS: Final = 5

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
_MOST_ACCENTED = 0.25
"""Share of the words that may hold a letter beyond ASCII: a café is English, a sentence of such words is not."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_MOST_PREAMBLE_CHARS = 90
_QUOTED = re.compile(r'["\u201c]((?:[^"\u201c\u201d\\]|\\.){12,})')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")

_TYPOGRAPHY = str.maketrans(
    {**dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4", "'"), **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
     **dict.fromkeys("\u2010\u2011\u2012", "-")}
)  # fmt: skip
_PAUSE = re.compile(r" [\u2013\u2014\u2015\u2212]+ |(?<=\w)[\u2014\u2015](?=\w)")
_DASH = re.compile(r"[\u2013\u2014\u2015\u2212]")
_MARKUP = re.compile(r"[*`~]+|(?<![^\W_])_+|_+(?![^\W_])")
_LEAD = re.compile(
    r"""^(?:
        [\W_]+                                                              # bullets, quotes
        | \(?\d{1,2}[.):\]]+\s+                                             # numbers of a list
        | (?:sure|certainly|of\ course|okay|ok|absolutely)\b[,.!:]*\s+
        | [^:.!?]{0,60}\b(?:caption|prompt|description)s?\b[^:.!?]{0,24}:\s*
        | (?:photo|image|title|answer|output|response|rewrite)\s*(?:\#?\d{1,2})?\s*:\s*
    )+""",
    re.IGNORECASE | re.VERBOSE,
)


def parse_captions(text: str, count: int) -> list[str]:
    """The `count` raw captions of a reply; an empty string where one is missing. JSON as asked for, else what can be found."""
    text = without_reasoning(text)
    value = read_json(text)
    found = captions_in(value) if value is not None else [_unescaped(quoted) for quoted in _QUOTED.findall(text)]
    if not found and value is None:
        lines = [line for line in _FENCE.sub("", text).splitlines() if line.strip()]
        lines = [line for line in lines if not _is_preamble(line)] or lines
        found = lines if count > 1 else [" ".join(lines)]
    return [*found[:count], *[""] * (count - len(found))]


def repair(caption: str) -> str:
    """`caption` as one clean line: no control characters, list marks, labels or quotes, plain punctuation, its first sentence, no doubled
    words, no loose end. Accents stay.
    """
    text = caption.encode("utf-8", "replace").decode("utf-8").translate(_TYPOGRAPHY)
    text = re.sub(r"\s+", " ", text)
    text = unicodedata.normalize("NFKC", _DASH.sub("-", _PAUSE.sub(", ", text)))
    text = "".join(c if c.isprintable() and unicodedata.category(c) != "So" else " " for c in text)
    text = _MARKUP.sub("", re.sub(r"\\u?[0-9a-fA-F]{0,3}$", "", text))
    text = _LEAD.sub("", re.sub(r"\s+", " ", text).strip())
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


def form_fault(caption: str, max_words: int, *, cut: bool = False) -> str:
    """Why a repaired caption is refused for its form alone, or an empty string. `cut` tells that the reply ended at its token limit."""
    words = [word.lower() for word in _WORD.findall(caption)]
    if len(words) < MIN_WORDS:
        return CUT_SHORT if cut else "too_short" if words else "unparseable"
    if len(words) > max_words or len(caption) > 12 * max_words:
        return "too_long"
    if _is_repetitive(words):
        return "repetitive"
    return "" if _is_english(caption, words) else "not_english"


def storable(text: str) -> str:
    """`text` cut and cleaned so that any reply, however broken, fits a UTF-8 column."""
    return text[:_MAX_STORED_CHARS].encode("utf-8", "replace").decode("utf-8")


def _is_preamble(line: str) -> bool:
    """Whether a line only says what comes: "Here are three captions:"."""
    words = line.strip(" *_#\t\r\"'")
    return words.endswith(":") and len(words) <= _MOST_PREAMBLE_CHARS


def _is_repetitive(words: list[str]) -> bool:
    content = [word for word in words if word not in _FUNCTION_WORDS]
    if not content or max(Counter(content).values()) > 2:
        return True
    pairs = Counter(itertools.pairwise(words))
    return max(pairs.values()) > 2 or len(set(content)) < 0.7 * len(content)


def _is_english(caption: str, words: list[str]) -> bool:
    """By its letters, which are Latin and seldom accented, its function words, and words that can be said."""
    beyond = [c for c in caption if not c.isascii()]
    if any(not c.isalpha() or not unicodedata.name(c, "").startswith("LATIN ") for c in beyond):
        return False
    if sum(not word.isascii() for word in words) > _MOST_ACCENTED * len(words):
        return False
    plain = unicodedata.normalize("NFKD", caption).encode("ascii", "ignore").decode()
    foreign = sum(word in _FOREIGN_WORDS for word in words)
    return foreign < 2 and bool(_FUNCTION_WORDS.intersection(words)) and not _GARBAGE.search(plain)


def _unescaped(quoted: str) -> str:
    """A string out of text that is no JSON, its escapes read."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), quoted).replace('\\"', '"').replace("\\n", " ")
