"""What the agent asks a text engine: write captions from slots, write one again with the reason of its refusal, rate one.

A request is plain chat with one worked example, short enough for a model of 135 M weights; the reply's form is in its JSON schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synthseg.config.schema import PromptsConfig
from synthseg.engines.text import TextRequest
from synthseg.method.prompts.profiles import ClassProfile
from synthseg.method.prompts.ratings import RATING_KEYS, TOP_RATING
from synthseg.method.prompts.replies import MIN_WORDS
from synthseg.method.prompts.template import Slots
from synthseg.method.prompts.vocabulary import scene_signs

PLACE = "place"
"""Subject of a context prompt, which must not name the class: a small model writes what it reads."""

RATING_TOKENS = 20
"""Enough for the marks where decoding is held to their schema."""
_EXAMPLES: tuple[tuple[str, Slots, str], ...] = (
    ("cat", Slots("cat", look="tabby", pose="sitting", scene="kitchen", light="golden hour"),
     "A tabby cat sitting on a kitchen table in golden hour light."),
    ("car", Slots("car", look="red", pose="parked", scene="street", weather="rain"), "A red car parked on a wet city street in the rain."),
)  # fmt: skip
_PLACE_EXAMPLE = ("", Slots("a quiet village square", light="dusk"), "A quiet village square in the soft light of dusk.")
_WRITE = re.compile(r"^Write (?:a photo caption|(\d+) photo captions) of (?:an? )?(.+) with these words\.$")
_RATE = re.compile(r"^You rate captions\.$")
_REASONS: Mapping[str, str] = {
    "too_short": "The caption was too short.",
    "too_long": "The caption was too long.",
    "repetitive": "The caption repeated itself.",
    "class_missing": "The caption did not name the {subject}.",
    "off_class": "The caption was not about the {subject}.",
    "other_class_dominates": "The caption was more about something else than about the {subject}.",
    "negated": "The caption said that there is no {subject}.",
    "class_present": "The caption named an object, but the place must be empty.",
    "context_present": "The caption held words of the usual surroundings.",
    "low_quality": "The caption was not a clear and realistic photo of the {subject}.",
    "not_english": "The caption was not plain English.",
    "unparseable": "The reply was not a caption.",
    "cut_short": "The reply was not a caption.",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request of this module asks for: `task`, the subject's words, and the lines of words it gives."""

    task: Literal["write", "rate"]
    subject: str
    lines: tuple[str, ...]


def rating_tokens(config: PromptsConfig) -> int:
    """`max_tokens` of a rating: an endpoint's model may think aloud first, or not keep to the schema."""
    return max(RATING_TOKENS, config.max_tokens) if config.engine == "openai" else RATING_TOKENS


def rewritable(reason: str) -> bool:
    """Whether a refusal for `reason` can be told to the model as something to do better."""
    return reason in _REASONS


def write_request(
    config: PromptsConfig,
    subject: str,
    profile: ClassProfile,
    slots: Sequence[Slots],
    seed: int,
    example: tuple[Slots, str] | None = None,
    refused: str = "",
    advice: str = "",
) -> TextRequest:
    """Ask for one caption a filling in `slots`. `example` (an accepted prompt with its slots) is expanded in place of the stock
    example; `refused` is the reason an earlier caption for the same slots was refused, `advice` the image engine's own sentence on it.
    `subject` PLACE asks for a context prompt.
    """
    many = len(slots) > 1
    what = f"{len(slots)} photo captions" if many else "a photo caption"
    system = f"Write {what} of {subject if many else _with_article(subject)} with these words."
    lines = "\n".join(filling.words() for filling in slots)
    stock = _PLACE_EXAMPLE if subject == PLACE else next(e for e in _EXAMPLES if e[0] not in subject)
    shown, caption = example or stock[1:]
    reply = f'{{"captions":["{caption}"]}}' if many else f'"{caption}"'
    advice = advice or (_REASONS[refused].format(subject=subject) if refused else "")
    hint = f"{advice} Write it again: " if advice else ""
    return TextRequest(
        messages=(
            {"role": "system", "content": system},
            {"role": "user", "content": shown.words()},
            {"role": "assistant", "content": reply},
            {"role": "user", "content": hint + lines},
        ),
        seed=seed,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        json_schema=_caption_schema(config, profile, subject, slots),
    )


def rate_request(subject: str, caption: str, seed: int, max_tokens: int = RATING_TOKENS) -> TextRequest:
    """Ask for the marks of one caption: fluency, realism, and whether the subject is visible, each 1..TOP_RATING, greedily."""
    mark = {"type": "integer", "minimum": 1, "maximum": TOP_RATING}
    # A bare list costs half the tokens of an object, and SmolLM2 tells good captions from shuffled or strange ones better with it.
    schema = {"type": "array", "items": mark, "minItems": len(RATING_KEYS), "maxItems": len(RATING_KEYS)}
    what = f"a photo of {_with_article(subject)}"
    question = f'"{caption}"\nFrom 1 to {TOP_RATING}, how well does this describe {what}? Give [{",".join(RATING_KEYS)}].'
    return TextRequest(
        messages=({"role": "system", "content": "You rate captions."}, {"role": "user", "content": question}),
        seed=seed,
        max_tokens=max_tokens,
        temperature=0.0,
        top_p=1.0,
        json_schema=schema,
    )


def read_request(request: TextRequest) -> Ask | None:
    """What a request of this module asks for, or None for any other request."""
    if not request.messages:
        return None
    system, last = request.messages[0].get("content", ""), request.messages[-1].get("content", "")
    if _RATE.match(system):
        return Ask("rate", "", ())
    found = _WRITE.match(system)
    if found is None:
        return None
    return Ask("write", found[2], tuple(last.rpartition("Write it again: ")[2].split("\n")))


def _with_article(subject: str) -> str:
    return f"{'an' if subject[:1] in 'aeio' else 'a'} {subject}"


def _caption_schema(config: PromptsConfig, profile: ClassProfile, subject: str, slots: Sequence[Slots]) -> dict[str, Any]:
    """The reply's form: words only, a bounded number of them, the class named within the first ones."""
    if len(slots) == 1:
        # An object around the string would cost a quarter more tokens to write.
        return {"type": "string", "pattern": _caption_pattern(config.max_words, profile, subject, slots[0])}
    words = {"type": "string", "minLength": 4 * MIN_WORDS, "maxLength": 8 * config.max_words}
    captions = {"type": "array", "items": words, "minItems": len(slots), "maxItems": len(slots)}
    return {"type": "object", "properties": {"captions": captions}, "required": ["captions"], "additionalProperties": False}


def _caption_pattern(max_words: int, profile: ClassProfile, subject: str, slots: Slots) -> str:
    """Count, look and class, then company and scene where they are asked for: what a small model would leave out. The end is loose: a
    model that is stopped within a sentence glues its words together, while a long caption can be cut at a phrase.
    """
    word = " [a-z-]{1,14}"
    if subject == PLACE:
        return f"^{slots.subject.capitalize()}({word}){{{MIN_WORDS},{max_words}}}\\.$"
    nouns = "|".join(dict.fromkeys(noun[0 if slots.count == "one" else 1] for noun in profile.nouns))
    start = {"one": "(A|An)", "two": "Two", "three": "Three"}.get(slots.count, "(Several|Some|A group of)")
    look = f" {slots.look}" if slots.look else f"({word}){{0,2}}"
    company = f"({word}){{1,4}} with {slots.companion}" if slots.companion else ""
    if slots.scene:
        place = f"({word}){{{1 if company else 2},{max_words // 2}}} ({scene_signs(slots.scene)})({word}){{0,{max_words}}}"
    else:
        place = f"({word}){{{MIN_WORDS},{max_words}}}"
    return f"^{start}{look} ({nouns}){company}{place}\\.$"
