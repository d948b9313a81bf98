"""Reads a prompt: which objects, where, in what light; what must be absent; and what was not understood."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from synthseg.embedded.scenes import vocabulary as words


@dataclass(frozen=True, slots=True)
class ObjectWish:
    """One noun of the prompt with what was said about it; None where nothing was said."""

    class_name: str
    """Canonical VOC name."""
    count: int = 1
    color: str | None = None
    """Key of `synthseg.embedded.scenes.colors.COLORS`."""
    size: str | None = None
    """tiny, small, large, huge, close or far."""
    pose: str | None = None
    view: str | None = None
    """side, front, back, three_quarter or top."""
    position: str | None = None
    """left, right, center, foreground or background."""


@dataclass(frozen=True, slots=True)
class SceneWish:
    """What a prompt asks for."""

    objects: tuple[ObjectWish, ...] = ()
    place: str | None = None
    """Key of `synthseg.embedded.scenes.places.PLACES`."""
    light: str | None = None
    weather: str | None = None
    camera: str | None = None
    """low angle, high angle, wide, close, bokeh or eye level."""
    absent: tuple[str, ...] = ()
    """Canonical names of classes that must not be in the picture."""
    not_understood: tuple[str, ...] = ()
    """Content words without an effect, in the order of the prompt."""


class _Meaning(NamedTuple):
    kind: str
    value: str
    plural: bool = False


class _Token(NamedTuple):
    text: str
    meanings: tuple[_Meaning, ...]

    def value(self, kind: str) -> str | None:
        """The token's meaning of one kind, if it has one."""
        return next((m.value for m in self.meanings if m.kind == kind), None)


_BREAK_WORDS = """
and or with on in at near beside by behind under over above below to from while next as against through along across between into
toward towards for during inside outside within beneath but where which who around
"""
_BREAKS = frozenset(_BREAK_WORDS.split())
_DEFINITE = frozenset(("the", "this", "that", "its", "his", "her", "their", "these", "those"))
_LONGEST_PHRASE = 4


def read_prompt(text: str, negative_prompt: str = "") -> SceneWish:
    """Understand a prompt in free English. Classes of `negative_prompt`, and those after "no" or "without", become absent."""
    reader = _Reader()
    for token in _tokens(text):
        reader.take(token)
    wish = reader.wish()
    if not negative_prompt:
        return wish
    refused = tuple(dict.fromkeys(v for t in _tokens(negative_prompt) if (v := t.value("class"))))
    kept = tuple(o for o in wish.objects if o.class_name not in refused)
    return replace(wish, objects=kept, absent=tuple(dict.fromkeys((*wish.absent, *refused))))


class _Reader:
    """One pass over the tokens. Adjectives wait for their noun; what follows a noun belongs to it."""

    def __init__(self) -> None:
        self._objects: list[ObjectWish] = []
        self._places: list[tuple[bool, str]] = []
        self._absent: list[str] = []
        self._unknown: list[str] = []
        self._single: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._count: int | None = None
        self._definite = False
        self._fresh = True
        self._negated = False
        self._previous = ""

    def take(self, token: _Token) -> None:
        """Use one token."""
        text = token.text
        if not token.meanings:
            self._plain(text)
        elif token.value("negation"):
            self._negated = True
            self._clear()
        elif token.value("empty"):
            self._absent.append("person")
        elif token.value("class"):
            self._noun(token)
        else:
            self._modifier(token)
        self._previous = text

    def wish(self) -> SceneWish:
        """What was understood."""
        strong = [p for weak, p in self._places if not weak] or [p for _, p in self._places]
        named = {o.class_name for o in self._objects}
        weather = self._single.get("weather")
        place = strong[0] if strong else None
        if weather is None and place not in (None, "snow") and any(p == "snow" for _, p in self._places):
            weather = "snow"
        return SceneWish(
            objects=tuple(self._objects),
            place=place,
            light=self._single.get("light"),
            weather=weather,
            camera=self._single.get("camera"),
            absent=tuple(n for n in dict.fromkeys(self._absent) if n not in named),
            not_understood=tuple(dict.fromkeys(self._unknown)),
        )

    def _clear(self) -> None:
        self._waiting, self._count, self._definite = {}, None, False

    def _plain(self, text: str) -> None:
        """Punctuation, fillers and unknown words."""
        if not text[0].isalnum():
            self._clear()
            self._fresh = True
            self._negated = self._negated and text == ","
        elif text in _DEFINITE:
            self._definite, self._fresh = True, True
        elif text in _BREAKS:
            self._fresh = self._fresh or text in ("and", "with", "or")
            if not (text == "and" and "color" in self._waiting):
                self._clear()
            self._negated = self._negated and text in ("or", "and")
        elif text not in words.FILLER_WORDS and len(text) > 2:
            self._unknown.append(text)

    def _modifier(self, token: _Token) -> None:
        count = token.value("count")
        if count is not None:
            self._count = int(count) if self._count is None or int(count) > 1 else self._count
            self._fresh, self._definite = True, False
            if token.text not in ("a", "an") and len(token.meanings) == 1:
                return
        place = token.value("place")
        if place is not None and not self._negated:
            self._places.append((token.text in words.WEAK_PLACE_WORDS, place))
        for kind in ("light", "weather", "camera"):
            value = token.value(kind)
            if value is not None and not self._negated:
                self._single.setdefault(kind, value)
        if place is not None or token.value("light") or token.value("compound"):
            self._clear()
            self._fresh = False
            self._negated = False
        for kind in ("color", "size", "pose", "view", "position"):
            value = token.value(kind)
            if value is not None:
                self._attach(kind, value)

    def _attach(self, kind: str, value: str) -> None:
        before_noun = kind in ("color", "size") and value != "far"
        last = self._objects[-1] if self._objects else None
        if before_noun or self._fresh or last is None:
            if kind == "color" and self._waiting.get(kind) not in (None, "black"):
                return
            self._waiting[kind] = value
        elif getattr(last, kind) is None:
            self._objects[-1] = _with(last, kind, value)

    def _noun(self, token: _Token) -> None:
        name = token.value("class") or ""
        plural = any(m.kind == "class" and m.plural for m in token.meanings)
        if self._negated:
            self._absent.append(name)
            return
        count = self._count if self._count is not None else (2 if plural else 1)
        if plural and self._count == 1:
            count = 2
        w = self._waiting
        found = ObjectWish(name, count, w.get("color"), w.get("size"), w.get("pose"), w.get("view"), w.get("position"))
        known = next((i for i, o in enumerate(self._objects) if o.class_name == name), None)
        if known is not None and (self._definite or self._count is None):
            self._merge(known, found)
        else:
            self._objects.append(found)
        self._clear()
        self._fresh = False

    def _merge(self, index: int, found: ObjectWish) -> None:
        """A later mention of the same thing fills what the first left open; it becomes the noun that modifiers follow."""
        first = self._objects.pop(index)
        self._objects.append(
            ObjectWish(
                first.class_name,
                max(first.count, found.count),
                first.color or found.color,
                first.size or found.size,
                first.pose or found.pose,
                first.view or found.view,
                first.position or found.position,
            )
        )


def _with(wish: ObjectWish, kind: str, value: str) -> ObjectWish:
    """The wish with one more fact."""
    facts: dict[str, str | None] = {k: getattr(wish, k) for k in ("color", "size", "pose", "view", "position")}
    return ObjectWish(wish.class_name, wish.count, **{**facts, kind: value})


def _tokens(text: str) -> list[_Token]:
    raw = re.findall(r"[a-z0-9][a-z0-9'\-]*|[^\sa-z0-9'\-]", text.lower().replace("\u2019", "'"))
    table, found, i = _phrases(), [], 0
    while i < len(raw):
        for length in range(min(_LONGEST_PHRASE, len(raw) - i), 0, -1):
            phrase = " ".join(raw[i : i + length])
            if phrase in table:
                found.append(_Token(phrase, table[phrase]))
                i += length
                break
        else:
            parts = raw[i].split("-") if "-" in raw[i] else []
            known = [p for p in parts if p in table]
            if known:
                found.extend(_Token(p, table[p]) for p in known)
            else:
                found.append(_Token(raw[i], ()))
            i += 1
    return found


def plural_of(name: str) -> str:
    """English plural of a class's name ("bus" to "buses", "man" to "men", "bottle of wine" to "bottles of wine")."""
    irregular = {"person": "people", "man": "men", "woman": "women", "child": "children", "sheep": "sheep", "calf": "calves", "ox": "oxen",
                 "aircraft": "aircraft", "fisherman": "fishermen", "bonsai": "bonsai", "cattle": "cattle"}  # fmt: skip
    head, of, rest = name.partition(" of ")
    start, _, last = head.rpartition(" ")
    if last in irregular:
        ending = irregular[last]
    elif re.search(r"(s|x|ch|sh)$", last):
        ending = last + "es"
    elif re.search(r"[^aeiou]y$", last):
        ending = last[:-1] + "ies"
    else:
        ending = last + "s"
    return f"{start} {ending}".strip() + of + rest


def _entries() -> Iterable[tuple[str, _Meaning]]:
    for compound in words.COMPOUNDS:
        yield compound, _Meaning("compound", compound)
    for name, names in words.CLASS_WORDS.items():
        for word in names:
            yield word, _Meaning("class", name, plural=word == "cattle")
            yield plural_of(word), _Meaning("class", name, plural=plural_of(word) != word)
    singular = {w: name for name, names in words.CLASS_WORDS.items() for w in names}
    for plural, single in words.IRREGULAR_PLURALS.items():
        yield plural, _Meaning("class", singular[single], plural=plural not in ("sheep", "aircraft", "bonsai"))
    for group in words.GROUP_WORDS:
        yield f"{group} of", _Meaning("count", str(words.COUNT_WORDS[group]))
    for word, count in words.COUNT_WORDS.items():
        yield word, _Meaning("count", str(count))
    for kind, table in (("color", words.COLOR_WORDS), ("size", words.SIZE_WORDS), ("position", words.POSITION_WORDS),
                        ("pose", words.POSE_WORDS), ("view", words.VIEW_WORDS), ("camera", words.CAMERA_WORDS)):  # fmt: skip
        for word, value in table.items():
            yield word, _Meaning(kind, value)
    for kind, groups in (("place", words.PLACE_WORDS), ("light", words.LIGHT_WORDS), ("weather", words.WEATHER_WORDS)):
        for value, names in groups.items():
            for word in names:
                yield word, _Meaning(kind, value)
    for word in words.NEGATIONS:
        yield word, _Meaning("negation", word)
    for word in ("empty", "deserted"):
        yield word, _Meaning("empty", word)
    for word in ("city at night", "night city", "neon city"):
        yield word, _Meaning("light", "night")


@cache
def _phrases() -> dict[str, tuple[_Meaning, ...]]:
    """All known phrases; where one is a compound or a class its other meanings of the same standing are dropped."""
    table: dict[str, list[_Meaning]] = {}
    for phrase, meaning in _entries():
        meanings = table.setdefault(phrase, [])
        if all(m.kind != meaning.kind for m in meanings) and not (meaning.kind == "class" and any(m.kind == "compound" for m in meanings)):
            meanings.append(meaning)
    for word in words.GROUP_WORDS:
        table[word] = [m for m in table[word] if m.kind != "class" or word in ("crowd", "couple")]
    return {phrase: tuple(meanings) for phrase, meanings in table.items()}
