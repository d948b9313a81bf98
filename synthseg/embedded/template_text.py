"""The control without a language model: it answers the prompt agent's requests with draws of T(c) from the request's seed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from synthseg.engines.text import TextReply, TextRequest
from synthseg.ids import digest
from synthseg.method.prompts.messages import PLACE, read_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.ratings import RATING_KEYS, TOP_RATING
from synthseg.method.prompts.template import draw_slots
from synthseg.taxonomy import ClassInfo, taxonomy

_VERSION = 2


class TemplateEngine:
    """Text engine of the `template` control. It keeps to the class a request names and ignores the words it gives, so prompts
    differ by chance alone; a context request is answered with its own words. Every caption gets full marks: the control has no
    opinion, and quality then depends on class similarity alone.
    """

    def __init__(self) -> None:
        self.digest = digest("template_text", _VERSION)
        self._classes = {c.prompt_text: c for name in ("coco", "voc") for c in taxonomy(name).classes}

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order. A request that is not the agent's gets an empty reply."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: TextRequest) -> TextReply:
        ask = read_request(request)
        if ask is None:
            return TextReply("", "stop", 0, 0)
        if ask.task == "rate":
            text = json.dumps([TOP_RATING] * len(RATING_KEYS))
        else:
            rng = np.random.default_rng(request.seed)
            captions = [self._caption(ask.subject, line, rng) for line in ask.lines]
            text = json.dumps(captions[0] if len(captions) == 1 else {"captions": captions})
        return TextReply(text, "stop", sum(len(m.get("content", "").split()) for m in request.messages), len(text.split()))

    def _caption(self, subject: str, line: str, rng: np.random.Generator) -> str:
        if subject == PLACE:
            return f"a photo of {line}"
        known = self._classes.get(subject, ClassInfo(0, subject, subject))
        # A line that asks for an unusual scene is a bare request: the control leaves the usual context out, too.
        is_bare = not set(profile(known).unusual_scenes).isdisjoint(line.split(", "))
        return draw_slots(profile(known), "bare" if is_bare else "target", rng).text()
