"""A user's own prompt, reworded by the language model and judged as the agent judges its candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthseg.config.schema import PromptsConfig
from synthseg.engines.image import AnyPrompt, PromptCheck, at_most
from synthseg.engines.scorer import Scorer
from synthseg.engines.text import TextReply, TextRequest
from synthseg.ids import derive_seed
from synthseg.method.prompts.messages import rate_request, rating_tokens, write_request
from synthseg.method.prompts.profiles import ClassProfile, profile
from synthseg.method.prompts.quality import ClassSpace, Mentions, class_prototypes
from synthseg.method.prompts.ratings import parse_ratings
from synthseg.method.prompts.replies import form_fault, parse_captions, repair, shorten
from synthseg.method.prompts.template import Slots, draw_slots
from synthseg.method.prompts.vocabulary import COUNTS, LIGHTS, SCALES, SCENES, VIEWS, WEATHERS, says
from synthseg.taxonomy import ClassInfo, Taxonomy

NUM_CANDIDATES = 4
_MOST_TAIL_WORDS = 8
_TAILS = {**LIGHTS, **WEATHERS, **VIEWS, **SCALES}
"""What a candidate that left it out is given back at its end."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """The better wording and its quality, or the original with its own quality and why no candidate replaced it."""

    text: str
    quality: float
    reason: str = ""


class PromptRefiner:
    """Rewrites single prompts. Equal arguments and an engine that answers equal requests alike give equal texts."""

    def __init__(
        self,
        config: PromptsConfig,
        taxonomy: Taxonomy,
        scorer: Scorer,
        generate: Callable[[Sequence[TextRequest]], list[TextReply]],
        prompt_check: PromptCheck | None = None,
    ) -> None:
        """`prompt_check` is the image engine's: a rewording that it refuses replaces no prompt."""
        self._check = prompt_check or AnyPrompt()
        self._config = config.model_copy(update={"max_words": at_most(config.max_words, self._check)})
        self._longest = at_most(config.max_words + _MOST_TAIL_WORDS, self._check)
        self._taxonomy = taxonomy
        self._scorer = scorer
        self._generate = generate
        self._mentions = Mentions(taxonomy.classes)
        self._prototypes = class_prototypes(taxonomy.classes, scorer)
        self._spaces: dict[int, ClassSpace] = {}

    def refine(self, prompt: str, classes: Sequence[ClassInfo], seed: int) -> Refinement:
        """The best of `NUM_CANDIDATES` rewordings that keeps every class asked for or named, and what the vocabulary knows of the
        prompt, and has a higher quality than the prompt itself.
        """
        named = self._mentions.of(prompt)
        asked = [c.class_id for c in classes] or named
        if not asked:
            return Refinement(prompt, 0.0, "the prompt names no class")
        main = self._taxonomy.by_id(asked[0])
        wanted = set(asked) | set(named)
        slots = _read_slots(prompt, profile(main))
        base = write_request(self._config, main.prompt_text, profile(main), [slots], seed)
        words = (*base.messages[:-1], {"role": "user", "content": prompt})
        requests = [replace(base, messages=words, seed=derive_seed(seed, "refine", number)) for number in range(NUM_CANDIDATES)]
        said = _said(prompt, profile(main))
        texts: list[str] = []
        faults: list[str] = []
        for reply in self._generate(requests):
            text = _with_tails(shorten(repair(parse_captions(reply.text, 1)[0]), self._config.max_words), said)
            fault = form_fault(text, self._longest, cut=reply.finish_reason == "length") or self._fault(text, prompt, main, wanted, said)
            if fault:
                faults.append(fault)
            elif text not in texts:
                texts.append(text)
        qualities = self._qualities([prompt, *texts], main, seed)
        unpaintable = self._check.refusal(prompt)
        if unpaintable and texts:  # any of them makes a picture, and the prompt itself makes none
            best = int(np.argmax(qualities[1:]))
            return Refinement(texts[best], qualities[best + 1])
        best = int(np.argmax(qualities))  # the first of equals, so the prompt stays where nothing is better
        if best:
            return Refinement(texts[best - 1], qualities[best])
        return Refinement(prompt, qualities[0], "no rewording was better" if texts else f"every rewording was refused ({faults[0]})")

    def _fault(self, text: str, prompt: str, main: ClassInfo, wanted: set[int], said: set[str]) -> str:
        found = set(self._mentions.of(text))
        if text.lower() == prompt.lower():
            return "unchanged"
        if not wanted <= found:
            return "class_missing"
        if found - wanted:
            return "class_added"
        # An own rule of rewording: a better sentence about another picture is no help.
        if said - _said(text, profile(main)):
            return "forgetful"
        refusal = self._check.refusal(text)
        return refusal.reason if refusal else ""

    def _qualities(self, texts: Sequence[str], main: ClassInfo, seed: int) -> list[float]:
        """Quality of each text in [0, 1], by the LLM's marks and the similarity to the class, as the agent mixes them."""
        space = self._space(main)
        margins = space.margins(self._scorer.embed_texts(list(texts)))
        most = rating_tokens(self._config)
        replies = self._generate([rate_request(main.display, text, derive_seed(seed, "refine rate", text), most) for text in texts])
        return [
            space.quality(parse_ratings(reply.text), margin, self._config.rating_weight)
            for reply, margin in zip(replies, margins, strict=True)
        ]

    def _space(self, info: ClassInfo) -> ClassSpace:
        if info.class_id not in self._spaces:
            rng = np.random.default_rng(derive_seed("refine", info.name))
            draws = [draw_slots(profile(info), "target", rng).text() for _ in range(self._config.calibration_draws)]
            self._spaces[info.class_id] = ClassSpace.build(self._taxonomy.classes, info, self._prototypes, self._scorer.embed_texts(draws))
        return self._spaces[info.class_id]


def _read_slots(prompt: str, class_profile: ClassProfile) -> Slots:
    """The slots of T(c) that `prompt` fills, as far as the vocabulary knows its words."""
    text = prompt.lower()

    def first(values: Sequence[str]) -> str:
        return next((value for value in values if says(text, value.removeprefix("a ").removeprefix("an "))), "")

    plural = any(says(text, noun[1]) for noun in class_profile.nouns if noun[0] != noun[1])
    return Slots(
        subject=class_profile.nouns[0][plural],
        count=first(COUNTS[1:]) or ("several" if plural else "one"),
        look=first(class_profile.looks),
        pose=first(class_profile.poses),
        companion=first(class_profile.companions),
        scene=first(tuple(SCENES)),
    )


def _said(text: str, class_profile: ClassProfile) -> set[str]:
    """The words of the vocabulary that `text` says."""
    text = text.lower()
    return {word for word in (*SCENES, *_TAILS, *class_profile.looks) if says(text, word)}


def _with_tails(text: str, said: set[str]) -> str:
    """`text` with each light, weather, view and scale of `said` that it left out."""
    lost = [phrase for word, phrase in _TAILS.items() if word in said and not says(text.lower(), word)]
    return " ".join([text, *lost]) if text else text
