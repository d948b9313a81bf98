"""JSON as language models write it: behind their thoughts, in a fence, cut off, or in Python's quotes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import json_repair

_MOST_CHARS: Final = 50_000
_MOST_NESTED: Final = 12
"""Mending takes a time that grows quickly with the depth; no reply is as deep."""
_DEPTH: Final = 3
"""Levels of a value that are looked into."""

_TAGS: Final = "think|thinking|thought|thoughts|reasoning|reflection"
_MARKS: Final = (
    (rf"<(?:{_TAGS})\b[^>]*>", rf"</(?:{_TAGS})\s*>"),  # DeepSeek-R1, Qwen3, QwQ
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi
    (r"<\|channel\|>analysis<\|message\|>", r"<\|channel\|>final<\|message\|>"),  # gpt-oss
)
_THOUGHTS: Final = tuple((re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE)) for begin, end in _MARKS)
_ASIDES: Final = ("reason", "think", "thought", "analysis", "explan", "rationale", "reflect", "note", "comment", "plan", "step")
_CAPTIONS: Final = ("caption", "prompt", "text", "description", "sentence")
_OPENING: Final = re.compile(r"""[\[{]\s*(?:["'\u201c\u2018\[{]|-?\d|\w+["']?\s*:|$)""")
_APOSTROPHE: Final = re.compile(r"(?<=\w)'(?=\w)")


def without_reasoning(text: str) -> str:
    """`text` after the last end of the model's thoughts, whose beginning may lie in the chat template; without thoughts that never end."""
    for begin, end in _THOUGHTS:
        last = 0
        for found in end.finditer(text):
            last = found.end()
        text = text[last:]
        if unfinished := begin.search(text):
            text = text[: unfinished.start()]
    return text


def read_json(text: str) -> Any:
    """The JSON in `text`, mended where it is cut or almost JSON; None when there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    opening = _OPENING.search(text)
    if opening is None:
        return None
    # An apostrophe inside a word ends no string, though Python's quotes look like it.
    rest = _APOSTROPHE.sub("\u2019", text[opening.start() :][:_MOST_CHARS])
    if _nesting(rest) > _MOST_NESTED:
        return None
    try:
        return json_repair.loads(rest) or None
    except (ValueError, RecursionError):
        return None


def _nesting(text: str) -> int:
    """How deep brackets nest at most, those in strings included; one that closes nothing is passed over."""
    opened: list[str] = []
    most = 0
    for char in text:
        if char in "[{":
            opened.append("]" if char == "[" else "}")
            most = max(most, len(opened))
        elif opened and char == opened[-1]:
            opened.pop()
    return most


def captions_in(value: Any, depth: int = _DEPTH) -> list[str]:
    """The strings of a reply, in order: of an object those under a caption's key, else all but its asides."""
    if isinstance(value, str):
        return [value]
    if depth == 0:
        return []
    if isinstance(value, dict):
        named = [item for key, item in value.items() if _is_any(key, _CAPTIONS)]
        items = named or [item for key, item in value.items() if not _is_any(key, _ASIDES)]
    else:
        items = value if isinstance(value, list) else []
    return [caption for item in items for caption in captions_in(item, depth - 1)]


def _is_any(key: str, stems: tuple[str, ...]) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()).startswith(stems)
