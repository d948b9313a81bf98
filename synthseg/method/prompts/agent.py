"""The Self-Refine Prompt Agent, one class at a time (paper, Algorithm 1)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from synthseg.config.schema import PromptsConfig
from synthseg.engines.image import AnyPrompt, PromptCheck, at_most
from synthseg.engines.scorer import Embeddings, Scorer
from synthseg.engines.text import TextReply, TextRequest
from synthseg.ids import derive_seed, prompt_id
from synthseg.method.prompts.diversity import calibrate_diversity, mean_neighbour_similarity
from synthseg.method.prompts.exploration import Coverage
from synthseg.method.prompts.memory import PromptMemory
from synthseg.method.prompts.messages import PLACE, rate_request, rating_tokens, rewritable, write_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.quality import ClassSpace, Mentions, class_prototypes, place_fault, rating_share
from synthseg.method.prompts.ratings import parse_ratings, read_marks
from synthseg.method.prompts.replies import CUT_SHORT, form_fault, parse_captions, repair, shorten, storable
from synthseg.method.prompts.template import Kind, Slots, draw_slots
from synthseg.records import PromptCandidate
from synthseg.taxonomy import ClassInfo, Taxonomy

Generate = Callable[[Sequence[TextRequest]], list[TextReply]]
"""Answers a batch of requests, one reply each, in order; it may spread them over any number of engines."""

OnRound = Callable[[Sequence[PromptCandidate]], None]
"""Takes the candidates of a round that ended."""

EndedBecause = Literal["quota", "acceptance_floor", "max_rounds"]

_FIRST_PASS_RATE = 0.75
_LOWEST_PASS_RATE = 0.25
_EXPAND_SHARE = 0.5
_MOST_DRAWS = 8
"""Draws of T(c) until one stands for a prompt that the image engine takes; where none does, the first is asked for."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round: candidates considered and accepted, refusals by reason, and the diversity of all target prompts accepted so far."""

    candidates: int
    accepted: int
    reasons: Counter[str]
    mean_neighbour_similarity: float


@dataclass(frozen=True, slots=True)
class ClassPrompts:
    """All that was considered for one class, in a fixed order, and why the class ended."""

    candidates: list[PromptCandidate]
    """Bare prompts ask for the class and count towards the quota with the target ones."""
    rounds: list[RoundReport]
    ended_because: EndedBecause
    """`quota` only when target and context quotas are both met; else the class is short and says so."""
    diversity_threshold: float
    """Delta that held for this class."""

    @property
    def accepted(self) -> list[PromptCandidate]:
        """The accepted ones, in order of acceptance."""
        return [candidate for candidate in self.candidates if candidate.accepted]


@dataclass(slots=True)
class _Candidate:
    """One caption on its way through a round."""

    slot: int
    kind: Kind
    slots: Slots
    request_seed: int
    text: str
    parent_id: str = ""
    reason: str = ""
    advice: str = ""
    """What the image engine says of a prompt that it refuses."""
    embedding: Embeddings | None = None
    marks: tuple[int, int, int] | None = None
    class_similarity: float | None = None
    neighbour_similarity: float | None = None
    quality: float | None = None
    rewrite: _Candidate | None = None


@dataclass(frozen=True, slots=True)
class _Parent:
    """An accepted prompt that later rounds expand."""

    prompt_id: str
    slots: Slots
    text: str


@dataclass(slots=True)
class _ClassState:
    """What one class has gathered so far."""

    info: ClassInfo
    seed: int
    space: ClassSpace
    delta: float
    memory: PromptMemory
    context_memory: PromptMemory
    parents: list[_Parent] = field(default_factory=list)
    candidates: list[PromptCandidate] = field(default_factory=list)
    rounds: list[RoundReport] = field(default_factory=list)
    pass_rate: float = _FIRST_PASS_RATE

    def memory_of(self, kind: Kind) -> PromptMemory:
        """Context prompts live apart: they are no prompts of the class."""
        return self.context_memory if kind == "context" else self.memory


class PromptAgent:
    """Writes, rates, rewrites and selects prompts class by class.

    Rounds are synchronous: a round's requests are formed up front from (seed, class, round, slot), each step hands all its requests
    to `generate` at once, and replies are reduced in slot order. So the result depends on the engine's text alone, not on timing.
    """

    def __init__(
        self,
        config: PromptsConfig,
        taxonomy: Taxonomy,
        scorer: Scorer,
        generate: Generate,
        classes: Sequence[ClassInfo] = (),
        engine: str = "",
        prompt_check: PromptCheck | None = None,
    ) -> None:
        """`classes` are those of the run (default: all): only they may stand in a candidate's `class_ids`. `engine` names the text engine
        in the candidates. `prompt_check` is the image engine's: what it refuses is never accepted.
        """
        self._check = prompt_check or AnyPrompt()
        self._config = config.model_copy(update={"max_words": at_most(config.max_words, self._check)})
        self._taxonomy = taxonomy
        self._scorer = scorer
        self._generate = generate
        self._engine = engine
        self._class_ids = {c.class_id for c in classes or taxonomy.classes}
        self._mentions = Mentions(taxonomy.classes)
        self._prototypes = class_prototypes(taxonomy.classes, scorer)

    def run_class(self, class_info: ClassInfo, seed: int, on_round: OnRound | None = None) -> ClassPrompts:
        """Rounds for one class until its quotas, the acceptance floor or the last round. Prompts it lacks are never filled in.

        `on_round` is given the candidates of each round as it ends.
        """
        state = self._open(class_info, seed)
        ended: EndedBecause = "max_rounds"
        for number in range(self._config.max_rounds):
            num_before = len(state.candidates)
            state.rounds.append(self._round(state, number))
            if on_round is not None:
                on_round(state.candidates[num_before:])
            if not any(self._missing(state)):
                ended = "quota"
                break
            if self._is_dry(state.rounds):
                ended = "acceptance_floor"
                break
        return ClassPrompts(state.candidates, state.rounds, ended, state.delta)

    def _open(self, info: ClassInfo, seed: int) -> _ClassState:
        pass_rate = self._config.diversity_pass_rate
        # Delta is measured on as many draws as would fill the quota at that rate: a fuller memory refuses more.
        num_fresh = math.ceil(self._config.prompts_per_class / pass_rate) if pass_rate else 0
        rng = np.random.default_rng(derive_seed(seed, "calibration", info.name))
        draws = [draw_slots(profile(info), "target", rng).text() for _ in range(max(num_fresh, self._config.calibration_draws))]
        embedded = self._scorer.embed_texts(draws)
        delta = calibrate_diversity(embedded[:num_fresh], pass_rate) if pass_rate else self._config.diversity_threshold
        space = ClassSpace.build(self._taxonomy.classes, info, self._prototypes, embedded)
        dim = embedded.shape[1]
        return _ClassState(info, seed, space, delta, PromptMemory(dim), PromptMemory(dim))

    def _missing(self, state: _ClassState) -> tuple[int, int]:
        """Target and context prompts still to be accepted."""
        target = self._config.prompts_per_class - len(state.memory)
        context = self._config.context_prompts_per_class - len(state.context_memory)
        return max(0, target), max(0, context)

    def _is_dry(self, rounds: Sequence[RoundReport]) -> bool:
        """Whether the newest rounds, as many as hold one full round's candidates, accepted less than the floor. A last round asks for
        few and would say little by itself.
        """
        full = self._config.requests_per_round * self._config.candidates_per_request
        candidates = accepted = 0
        for report in reversed(rounds):
            candidates += report.candidates
            accepted += report.accepted
            if candidates >= full:
                return accepted < self._config.min_acceptance_rate * candidates
        return False

    def _round(self, state: _ClassState, number: int) -> RoundReport:
        drafts = self._write(state, number)
        self._judge(state, number, drafts, self._missing(state))
        self._rewrite(state, number, drafts)
        judged = self._reduce(state, number, drafts)
        accepted = sum(candidate.accepted for candidate in judged)
        if judged:
            state.pass_rate = min(1.0, max(_LOWEST_PASS_RATE, accepted / len(judged)))
        state.candidates += judged
        reasons = Counter(candidate.reason for candidate in judged if candidate.reason)
        return RoundReport(len(judged), accepted, reasons, mean_neighbour_similarity(state.memory.embeddings))

    # Writing

    def _plan(self, state: _ClassState, number: int) -> list[tuple[Kind, Slots]]:
        """The fillings of T(c) this round asks for: what the memory, empty at first, has least of; targets, then contexts."""
        missing_target, missing_context = self._missing(state)
        most = self._config.requests_per_round * self._config.candidates_per_request
        num_target = min(most, math.ceil(missing_target / state.pass_rate))
        num_context = min(most, math.ceil(missing_context / state.pass_rate))
        share = self._config.bare_share
        kinds: list[Kind] = ["bare" if int((i + 1) * share) > int(i * share) else "target" for i in range(num_target)]
        kinds += ["context"] * num_context
        class_profile = profile(state.info)
        coverage = Coverage(class_profile, state.memory.texts)
        planned: list[tuple[Kind, Slots]] = []
        for slot, kind in enumerate(kinds):
            rng = np.random.default_rng(derive_seed(state.seed, state.info.name, number, slot, "slots"))
            draws = (coverage.propose(kind, rng) for _ in range(_MOST_DRAWS))
            first = next(draws)
            paintable = (filling for filling in itertools.chain([first], draws) if self._check.refusal(filling.text()) is None)
            planned.append((kind, next(paintable, first)))
        return planned

    def _write(self, state: _ClassState, number: int) -> list[_Candidate]:
        planned = self._plan(state, number)
        per_request = self._config.candidates_per_request
        groups = [
            range(start, min(start + per_request, stop))
            for first, stop in _runs([kind == "context" for kind, _ in planned])
            for start in range(first, stop, per_request)
        ]
        requests, parents = [], []
        for index, group in enumerate(groups):
            seed = derive_seed(state.seed, state.info.name, number, group.start, "write")
            is_context = planned[group.start][0] == "context"
            # Every other request of a later round expands an accepted prompt, the newest ones first, each once.
            expands = number > 0 and not is_context and index % round(1 / _EXPAND_SHARE) == 0 and index < len(state.parents)
            parent = state.parents[-1 - index] if expands else None
            requests.append(
                write_request(
                    self._config,
                    PLACE if is_context else state.info.prompt_text,
                    profile(state.info),
                    [planned[slot][1] for slot in group],
                    seed,
                    (parent.slots, parent.text) if parent else None,
                )
            )
            parents.append(parent.prompt_id if parent else "")
        candidates: list[_Candidate] = []
        for group, request, parent_id, reply in zip(groups, requests, parents, self._ask(requests), strict=True):
            for slot, raw in zip(group, parse_captions(reply.text, len(group)), strict=True):
                kind, slots = planned[slot]
                candidates.append(self._candidate(slot, kind, slots, request.seed, raw, parent_id, _is_cut(reply)))
        return candidates

    def _rewrite(self, state: _ClassState, number: int, drafts: list[_Candidate]) -> None:
        """Ask once more for each refused draft that is still needed, with the reason; the answer is judged like any other."""
        lacking = self._lacking(state, drafts)
        refused = []
        for is_context in (False, True):
            again = [draft for draft in drafts if (draft.kind == "context") == is_context and (draft.advice or rewritable(draft.reason))]
            refused += again[: math.ceil(lacking[is_context] / state.pass_rate)]
        requests = [
            write_request(
                self._config,
                PLACE if draft.kind == "context" else state.info.prompt_text,
                profile(state.info),
                [draft.slots],
                derive_seed(state.seed, state.info.name, number, draft.slot, "rewrite"),
                refused=draft.reason,
                advice=draft.advice,
            )
            for draft in refused
        ]
        for draft, request, reply in zip(refused, requests, self._ask(requests), strict=True):
            raw = parse_captions(reply.text, 1)[0]
            parent_id = prompt_id(self._asked_classes(state, draft), draft.text)
            draft.rewrite = self._candidate(len(drafts) + draft.slot, draft.kind, draft.slots, request.seed, raw, parent_id, _is_cut(reply))
        self._judge(state, number, [draft.rewrite for draft in refused if draft.rewrite], lacking)

    def _candidate(self, slot: int, kind: Kind, slots: Slots, seed: int, raw: str, parent_id: str, cut: bool) -> _Candidate:
        text = shorten(repair(raw), self._config.max_words)
        reason = form_fault(text, self._config.max_words, cut=cut)
        return _Candidate(slot, kind, slots, seed, storable(text or raw), parent_id, reason)

    # Judging

    def _judge(self, state: _ClassState, number: int, candidates: list[_Candidate], wanted: tuple[int, int]) -> None:
        """Set what is known of each candidate and the reason it is refused for, cheapest checks first: only what no rule, no
        similarity and no near duplicate has refused is shown to the LLM for its marks, in waves until `wanted` (target, context)
        have passed; what is then left over is not needed.
        """
        for candidate in candidates:
            candidate.reason = candidate.reason or self._mentions.fault(
                candidate.text, state.info.class_id, candidate.kind, profile(state.info)
            )
            if not candidate.reason and (refusal := self._check.refusal(candidate.text)) is not None:
                candidate.reason, candidate.advice = refusal.reason, refusal.advice
        self._measure(state, [candidate for candidate in candidates if not candidate.reason])
        alive = [candidate for candidate in candidates if not candidate.reason]
        waiting = [[c for c in alive if (c.kind == "context") == is_context] for is_context in (False, True)]
        passed = [0, 0]
        while wave := [c for i in (0, 1) for c in waiting[i][: max(0, wanted[i] - passed[i])]]:
            self._rate(state, number, wave)
            for i in (0, 1):
                waiting[i] = [c for c in waiting[i] if c.marks is None]
            for candidate in wave:
                passed[candidate.kind == "context"] += not candidate.reason
        for candidate in waiting[0] + waiting[1]:
            candidate.reason = "quota_met"

    def _rate(self, state: _ClassState, number: int, candidates: list[_Candidate]) -> None:
        """The LLM's marks of each candidate, and the quality they make with its class similarity."""
        requests = [
            rate_request(
                PLACE if candidate.kind == "context" else state.info.display,
                candidate.text,
                derive_seed(state.seed, state.info.name, number, candidate.slot, "rate"),
                rating_tokens(self._config),
            )
            for candidate in candidates
        ]
        for candidate, reply in zip(candidates, self._ask(requests), strict=True):
            candidate.marks = parse_ratings(reply.text)
            if candidate.kind == "context":
                candidate.quality = rating_share(candidate.marks)
            else:
                candidate.quality = state.space.quality(candidate.marks, candidate.class_similarity or 0.0, self._config.rating_weight)
                if candidate.quality < self._config.min_quality:
                    candidate.reason = CUT_SHORT if _is_cut(reply) and not any(read_marks(reply.text)) else "low_quality"

    def _lacking(self, state: _ClassState, judged: Sequence[_Candidate]) -> tuple[int, int]:
        """Target and context prompts still to be found after what has passed in `judged`."""
        target, context = self._missing(state)
        passed = Counter(candidate.kind == "context" for candidate in judged if not candidate.reason)
        return max(0, target - passed[False]), max(0, context - passed[True])

    def _measure(self, state: _ClassState, candidates: list[_Candidate]) -> None:
        """Embeddings, class similarity, and similarity to the memory and to earlier candidates of the round."""
        if not candidates:
            return
        embeddings = self._scorer.embed_texts([candidate.text for candidate in candidates])
        ahead = {False: PromptMemory(embeddings.shape[1]), True: PromptMemory(embeddings.shape[1])}
        for candidate, embedding, margin in zip(candidates, embeddings, state.space.margins(embeddings), strict=True):
            candidate.embedding, candidate.class_similarity = embedding, margin
            is_context = candidate.kind == "context"
            if is_context:
                candidate.reason = place_fault(candidate.text, candidate.slots.subject)
            else:
                rows = [class_id - 1 for class_id in self._mentions.of(candidate.text)]
                candidate.reason = state.space.fault(embedding, margin, self._config.min_class_similarity, rows)
            if candidate.reason:
                continue
            ahead_of_it = ahead[is_context]
            nearest = max(m.nearest(candidate.text, embedding) for m in (state.memory_of(candidate.kind), ahead_of_it))
            candidate.neighbour_similarity = nearest
            if nearest < state.delta:
                ahead_of_it.add(candidate.text, embedding)
            else:
                candidate.reason = "near_duplicate"

    # Accepting

    def _reduce(self, state: _ClassState, number: int, drafts: list[_Candidate]) -> list[PromptCandidate]:
        """Accept in slot order, each rewrite after all drafts."""
        ordered = drafts + [draft.rewrite for draft in drafts if draft.rewrite]
        for candidate in ordered:
            if candidate.reason or candidate.embedding is None:
                continue
            memory = state.memory_of(candidate.kind)
            candidate.neighbour_similarity = memory.nearest(candidate.text, candidate.embedding)
            if self._missing(state)[candidate.kind == "context"] == 0:
                candidate.reason = "quota_met"
            elif candidate.neighbour_similarity >= state.delta:
                candidate.reason = "near_duplicate"
            else:
                memory.add(candidate.text, candidate.embedding)
                if candidate.kind != "context":
                    identity = prompt_id(self._asked_classes(state, candidate), candidate.text)
                    state.parents.append(_Parent(identity, candidate.slots, candidate.text))
        return [self._record(state, number, candidate) for candidate in ordered]

    def _asked_classes(self, state: _ClassState, candidate: _Candidate) -> list[int]:
        """The class, then the run's other classes that the text names; none for a context prompt."""
        if candidate.kind == "context":
            return []
        own = state.info.class_id
        return [own, *(i for i in self._mentions.of(candidate.text) if i != own and i in self._class_ids)]

    def _record(self, state: _ClassState, number: int, candidate: _Candidate) -> PromptCandidate:
        class_ids = self._asked_classes(state, candidate)
        fluency, realism, visibility = candidate.marks or (None, None, None)
        return PromptCandidate(
            prompt_id=prompt_id(class_ids, candidate.text),
            class_ids=tuple(class_ids),
            kind=candidate.kind,
            text=candidate.text,
            round=number,
            slot=candidate.slot,
            parent_id=candidate.parent_id,
            request_seed=candidate.request_seed,
            fluency=fluency,
            realism=realism,
            visibility=visibility,
            quality=candidate.quality,
            class_similarity=candidate.class_similarity,
            neighbour_similarity=candidate.neighbour_similarity,
            engine=self._engine,
            accepted=not candidate.reason,
            reason=candidate.reason,
        )

    def _ask(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        return self._generate(requests) if requests else []


def _is_cut(reply: TextReply) -> bool:
    return reply.finish_reason == "length"


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """[start, stop) of each run of equal flags."""
    edges = [0, *(i for i in range(1, len(flags)) if flags[i] != flags[i - 1]), len(flags)]
    return [(a, b) for a, b in itertools.pairwise(edges) if a < b]
