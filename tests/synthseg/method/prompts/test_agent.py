from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg.config.schema import PromptsConfig
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.embedded.painter.prompts import PainterPromptCheck
from synthseg.embedded.template_text import TemplateEngine
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.text import TextReply, TextRequest
from synthseg.method.prompts.agent import ClassPrompts, PromptAgent
from synthseg.method.prompts.diversity import mean_neighbour_similarity
from synthseg.method.prompts.messages import read_request
from synthseg.method.prompts.replies import REASONS
from synthseg.records import candidates_from_table, candidates_to_table
from synthseg.taxonomy import taxonomy

VOC = taxonomy("voc")
HORSE = VOC.by_id(13)


def config(**changes: Any) -> PromptsConfig:
    settings_ = {
        "engine": "template", "prompts_per_class": 12, "requests_per_round": 14, "candidates_per_request": 1, "diversity_pass_rate": 0.65,
        "max_rounds": 10,
    }  # fmt: skip
    return PromptsConfig(**(settings_ | changes))


def answer(text_of: Any) -> Any:
    """A text engine that marks everything 5 and writes what `text_of(request)` says."""

    def generate(requests: Sequence[TextRequest]) -> list[TextReply]:
        texts = ["[5,5,5]" if getattr(read_request(r), "task", "") == "rate" else text_of(r) for r in requests]
        return [TextReply(text, "stop", 1, 1) for text in texts]

    return generate


def test_a_class_meets_its_quotas_and_says_so(scorer: Any) -> None:
    result = PromptAgent(config(), VOC, scorer, TemplateEngine().generate, engine="e").run_class(HORSE, 1)
    assert result.ended_because == "quota"
    kinds = [candidate.kind for candidate in result.accepted]
    assert kinds.count("context") == 2
    assert len(kinds) == 14
    assert all(candidate.class_ids[0] == HORSE.class_id for candidate in result.accepted if candidate.kind != "context")
    assert all(candidate.class_ids == () for candidate in result.accepted if candidate.kind == "context")
    assert {candidate.reason for candidate in result.candidates} <= {"", *REASONS}
    assert sum(r.candidates for r in result.rounds) == len(result.candidates)
    assert sum(r.accepted for r in result.rounds) == len(result.accepted)
    assert all(sum(r.reasons.values()) == r.candidates - r.accepted for r in result.rounds)


def test_accepted_prompts_are_apart_by_delta(scorer: Any) -> None:
    result = PromptAgent(config(), VOC, scorer, TemplateEngine().generate).run_class(HORSE, 1)
    embedded = scorer.embed_texts([candidate.text for candidate in result.accepted if candidate.kind != "context"])
    cosines = embedded @ embedded.T
    np.fill_diagonal(cosines, -1)
    assert cosines.max() < result.diversity_threshold
    assert result.rounds[-1].mean_neighbour_similarity == pytest.approx(mean_neighbour_similarity(embedded), abs=1e-5)


def test_the_same_set_whoever_answers_in_whatever_order(scorer: Any) -> None:
    def scattered(requests: Sequence[TextRequest]) -> list[TextReply]:
        engines = [TemplateEngine() for _ in range(4)]
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(engines[i % 4].generate, [r]) for i, r in reversed(list(enumerate(requests)))]
            return [f.result()[0] for f in reversed(futures)]

    alone = PromptAgent(config(), VOC, scorer, TemplateEngine().generate).run_class(HORSE, 3)
    agent = PromptAgent(config(), VOC, scorer, scattered)
    agent.run_class(VOC.by_id(8), 3)
    assert agent.run_class(HORSE, 3) == alone
    assert agent.run_class(HORSE, 4) != alone


def test_candidates_fit_the_record(scorer: Any) -> None:
    found = PromptAgent(config(), VOC, scorer, TemplateEngine().generate).run_class(HORSE, 1).candidates
    assert candidates_to_table(candidates_from_table(candidates_to_table(found))).equals(candidates_to_table(found))
    assert len({(candidate.round, candidate.slot) for candidate in found}) == len(found)
    accepted = [candidate.prompt_id for candidate in found if candidate.accepted]
    assert len(set(accepted)) == len(accepted)


def test_one_sentence_for_ever_ends_at_the_floor_and_is_not_filled_up(scorer: Any) -> None:
    same = json.dumps({"caption": "A brown horse galloping through a snowy meadow at dusk"})
    agent = PromptAgent(config(context_prompts_per_class=0, bare_share=0), VOC, scorer, answer(lambda r: same))
    result = agent.run_class(HORSE, 1)
    assert len(result.accepted) == 1
    assert result.ended_because == "acceptance_floor"
    assert result.rounds[0].reasons["near_duplicate"] == result.rounds[0].candidates - 1


def test_last_round_is_told_apart_from_a_met_quota(scorer: Any) -> None:
    agent = PromptAgent(config(max_rounds=1, requests_per_round=3), VOC, scorer, TemplateEngine().generate)
    assert agent.run_class(HORSE, 1).ended_because == "max_rounds"


def test_a_refused_caption_is_rewritten_once_with_the_reason(scorer: Any) -> None:
    seen: list[str] = []

    def write(request: TextRequest) -> str:
        last = request.messages[-1]["content"]
        seen.append(last)
        good = "Write it again" in last
        return json.dumps({"caption": f"A {'horse' if good else 'lamp'} near the old barn at dusk number {len(seen)}"})

    agent = PromptAgent(config(prompts_per_class=2, context_prompts_per_class=0, max_rounds=1), VOC, scorer, answer(write))
    result = agent.run_class(HORSE, 1)
    first = [candidate for candidate in result.candidates if not candidate.parent_id]
    again = [candidate for candidate in result.candidates if candidate.parent_id]
    assert {candidate.reason for candidate in first} == {"class_missing"}
    assert {candidate.parent_id for candidate in again} <= {candidate.prompt_id for candidate in first}
    assert any(candidate.accepted for candidate in again)
    assert sum("did not name the horse" in s for s in seen) == len(again) <= len(first)


def test_low_marks_refuse_a_caption(scorer: Any) -> None:
    def grumpy(requests: Sequence[TextRequest]) -> list[TextReply]:
        replies = TemplateEngine().generate(requests)
        return [TextReply("[1,1,1]", "stop", 1, 1) if r.text.startswith("[") else r for r in replies]

    agent = PromptAgent(config(min_quality=0.6, context_prompts_per_class=0), VOC, scorer, grumpy)
    result = agent.run_class(HORSE, 1)
    assert not result.accepted
    assert result.rounds[0].reasons["low_quality"] > 0


def test_later_rounds_expand_accepted_prompts(scorer: Any) -> None:
    agent = PromptAgent(config(prompts_per_class=20, requests_per_round=6), VOC, scorer, TemplateEngine().generate)
    result = agent.run_class(HORSE, 1)
    accepted = {candidate.prompt_id: candidate.round for candidate in result.accepted}
    expanded = [candidate for candidate in result.candidates if candidate.round and candidate.parent_id in accepted]
    assert expanded
    assert all(accepted[candidate.parent_id] < candidate.round for candidate in expanded)


def test_several_candidates_a_request(scorer: Any) -> None:
    agent = PromptAgent(
        config(requests_per_round=4, candidates_per_request=4, min_acceptance_rate=0.0), VOC, scorer, TemplateEngine().generate
    )
    assert agent.run_class(HORSE, 1).ended_because == "quota"


def test_class_ids_hold_only_classes_of_the_run(scorer: Any) -> None:
    caption = json.dumps({"caption": "A horse with a dog and a cat at the farm"})
    agent = PromptAgent(config(context_prompts_per_class=0), VOC, scorer, answer(lambda r: caption), classes=VOC.select(["horse", "cat"]))
    assert agent.run_class(HORSE, 1).accepted[0].class_ids == (13, 8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec=None), max_size=60), min_size=1, max_size=5))
def test_any_text_is_survived_and_accounted_for(texts: list[str]) -> None:
    from tests.synthseg.method.prompts.conftest import HashedScorer

    def babble(requests: Sequence[TextRequest]) -> list[TextReply]:
        return [TextReply(texts[i % len(texts)], "length", 1, 1) for i in range(len(requests))]

    small = config(prompts_per_class=3, requests_per_round=2, max_rounds=2, calibration_draws=4)
    result: ClassPrompts = PromptAgent(small, VOC, HashedScorer(64), babble).run_class(HORSE, 1)
    assert result.ended_because != "quota"
    candidates_to_table(result.candidates)
    assert all(candidate.reason in REASONS for candidate in result.candidates if not candidate.accepted)


def test_rounds_are_shown_as_they_end(scorer: Any) -> None:
    shown: list[dict[str, Any]] = []
    sizes: list[int] = []

    def on_round(rows: Sequence[dict[str, Any]]) -> None:
        shown.extend(rows)
        sizes.append(len(rows))

    agent = PromptAgent(config(), VOC, scorer, TemplateEngine().generate)
    result = agent.run_class(HORSE, 1, on_round)
    assert shown == result.candidates
    assert sizes == [report.candidates for report in result.rounds]


def test_what_the_image_engine_refuses_is_never_accepted_and_is_counted(scorer: Any) -> None:
    hut = json.dumps({"caption": "A shepherd's hut in the cloudy light of dusk"})
    asked: list[str] = []

    def write(request: TextRequest) -> str:
        asked.append(request.messages[-1]["content"])
        return hut

    sheep = VOC.by_id(17)
    changes = config(prompts_per_class=1, context_prompts_per_class=2, max_rounds=2)
    loose = PromptAgent(changes, VOC, scorer, answer(write)).run_class(sheep, 4)
    assert any(candidate.accepted for candidate in loose.candidates), "without the check the hut is a good context prompt"
    asked.clear()
    result = PromptAgent(changes, VOC, scorer, answer(write), prompt_check=PainterPromptCheck()).run_class(sheep, 4)
    assert not result.accepted
    refused = [candidate for candidate in result.candidates if candidate.kind == "context"]
    assert {candidate.reason for candidate in refused} == {"unpaintable"}
    assert sum(report.reasons["unpaintable"] for report in result.rounds) == len(refused)
    assert any("named no place that can be painted. Write it again: " in text for text in asked)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(VOC.classes), st.integers(0, 1 << 20))
def test_whatever_the_agent_accepts_the_painter_paints(info: Any, seed: int) -> None:
    from tests.synthseg.method.prompts.conftest import HashedScorer

    changes = config(prompts_per_class=4, context_prompts_per_class=3, requests_per_round=8, calibration_draws=8)
    agent = PromptAgent(changes, VOC, HashedScorer(512), TemplateEngine().generate, prompt_check=PainterPromptCheck())
    result = agent.run_class(info, seed)
    assert result.accepted
    requests = [ImageRequest(candidate.text, 1, 32, 32) for candidate in result.accepted]
    assert all(isinstance(image, GeneratedImage) for image in PainterEngine().generate(requests))


def test_a_place_that_the_image_engine_knows_is_asked_for(scorer: Any) -> None:
    """Of the surroundings of a sheep the painter knows two of three."""
    agent = PromptAgent(
        config(prompts_per_class=1, context_prompts_per_class=3), VOC, scorer, TemplateEngine().generate, prompt_check=PainterPromptCheck()
    )
    result = agent.run_class(VOC.by_id(17), 4)
    contexts = [candidate for candidate in result.candidates if candidate.kind == "context"]
    assert contexts
    assert all(candidate.reason != "unpaintable" for candidate in contexts)


def test_a_caption_is_as_long_as_the_image_engine_reads(scorer: Any) -> None:
    long = json.dumps({"caption": "A brown horse galloping quickly over dry yellow grass by the barn and a tree near the lake"})
    changes = config(context_prompts_per_class=0, bare_share=0, max_rounds=1, max_words=30)
    texts = PromptAgent(changes, VOC, scorer, answer(lambda r: long)).run_class(HORSE, 1).candidates
    assert {len(candidate.text.split()) for candidate in texts} == {18}
    texts = (
        PromptAgent(changes, VOC, scorer, answer(lambda r: long), prompt_check=PainterPromptCheck(max_words=12))
        .run_class(HORSE, 1)
        .candidates
    )
    assert {candidate.text for candidate in texts} == {"A brown horse galloping quickly over dry yellow grass by the barn"}


def cut(text_of: Any, marks: str = "[5,5,5]") -> Any:
    """An engine whose every reply ended at its token limit."""

    def generate(requests: Sequence[TextRequest]) -> list[TextReply]:
        texts = [marks if getattr(read_request(r), "task", "") == "rate" else text_of(r) for r in requests]
        return [TextReply(text, "length", 1, 1) for text in texts]

    return generate


@pytest.mark.parametrize(
    "text", ["", "<think>A brown horse, they say, in the deep snow of", '{"reasoning": "A brown horse in the deep snow']
)
def test_a_reply_that_ends_at_its_token_limit_is_counted_as_that(scorer: Any, text: str) -> None:
    agent = PromptAgent(config(context_prompts_per_class=0, max_rounds=1), VOC, scorer, cut(lambda _: text))
    report = agent.run_class(HORSE, 1).rounds[0]
    assert report.reasons == {"cut_short": report.candidates}


def test_marks_that_were_cut_off_are_no_low_marks(scorer: Any) -> None:
    written = TemplateEngine().generate
    for marks, reason in (("<think>Well, the horse", "cut_short"), ("[1, 1, 1]", "low_quality")):
        agent = PromptAgent(
            config(min_quality=0.6, context_prompts_per_class=0, max_rounds=1), VOC, scorer, cut(lambda r: written([r])[0].text, marks)
        )
        reasons = agent.run_class(HORSE, 1).rounds[0].reasons
        assert reasons[reason] > 0
        assert not reasons[{"cut_short": "low_quality", "low_quality": "cut_short"}[reason]]


def test_a_rating_at_an_endpoint_may_take_as_many_tokens_as_a_caption(scorer: Any) -> None:
    asked: list[int] = []

    def generate(requests: Sequence[TextRequest]) -> list[TextReply]:
        asked.extend(r.max_tokens for r in requests if getattr(read_request(r), "task", "") == "rate")
        return TemplateEngine().generate(requests)

    for engine, most in (("template", 20), ("openai", 300)):
        asked.clear()
        section = config(engine=engine, base_url="http://127.0.0.1:9/v1", model="m", max_tokens=300, max_rounds=1)
        PromptAgent(section, VOC, scorer, generate).run_class(HORSE, 1)
        assert set(asked) == {most}
