"""Engine `vllm` as a batch run has it: vLLM behind Ray Serve LLM, called the way the stages call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ray.serve.handle import DeploymentHandle

from serving.deploy.build import deploy_engines, text_handle
from serving.engines.client import generate_texts
from serving.engines.replicas import Answer
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import UsageProblem
from tests.vllm.conftest import Round, assert_within_band, caption_request, one_round, vllm_config

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def replicas() -> Iterator[DeploymentHandle]:
    from pipelines.session import ray_session

    config = vllm_config()
    with ray_session(config, verbose=False):
        deploy_engines(config, text=True, image=False)
        yield text_handle(config)


def test_a_round_of_the_prompt_agent(replicas: DeploymentHandle, embedded: Round) -> None:
    found = one_round(vllm_config(), lambda requests: generate_texts(replicas, requests))
    assert_within_band(found, embedded)


def test_the_seed_decides_the_text_and_the_schema_its_form(replicas: DeploymentHandle) -> None:
    replies = generate_texts(replicas, [caption_request(seed) for seed in (1, 2, 3, 1)])
    assert replies[0] == replies[3]
    assert len({reply.text for reply in replies}) == 3
    for reply in replies:
        assert json.loads(reply.text)["caption"].startswith("A horse ")
        assert reply.finish_reason == "stop"
        assert reply.prompt_tokens > 10


def test_a_stream_tells_the_reply(replicas: DeploymentHandle) -> None:
    asked = TextRequest(({"role": "user", "content": "Tell a story."},), seed=1, max_tokens=16, temperature=0.0)
    *pieces, last = list(replicas.options(stream=True).stream.remote(asked, 60.0))
    assert isinstance(last, Answer)
    assert len(pieces) > 4
    assert "".join(pieces) == last.result.text
    assert last.result == generate_texts(replicas, [asked])[0]
    assert last.result.finish_reason == "length"


def test_raw_text_is_continued_up_to_a_stop(replicas: DeploymentHandle) -> None:
    whole = TextRequest((), seed=2, prompt="Apples, pears,", max_tokens=24, temperature=0.0)
    text = generate_texts(replicas, [whole])[0].text
    word = text.split()[2]
    (cut,) = generate_texts(replicas, [TextRequest((), seed=2, prompt=whole.prompt, max_tokens=24, temperature=0.0, stop=(word,))])
    assert cut.text == text[: text.index(word)]


@pytest.mark.parametrize(
    "refused",
    [
        TextRequest(({"role": "user", "content": "word " * 3000},), seed=1),
        TextRequest(({"role": "user", "content": "x"},), seed=1, json_schema={"type": "nonsense"}),
    ],
    ids=["beyond the context", "no such schema"],
)
def test_a_request_that_cannot_work_is_the_callers_problem(replicas: DeploymentHandle, refused: TextRequest) -> None:
    with pytest.raises(UsageProblem, match=r"^prompts\.engine: vLLM refused a request: [^\n]+$"):
        generate_texts(replicas, [refused])
    with pytest.raises(UsageProblem):
        list(replicas.options(stream=True).stream.remote(refused, 60.0))
    assert isinstance(generate_texts(replicas, [caption_request(1)])[0], TextReply)


def test_it_tells_what_it_is_and_did(replicas: DeploymentHandle) -> None:
    stats: Any = replicas.stats.remote().result()
    assert stats.requests > 0
    assert (stats.queued, stats.running) == (0, 0)
    assert len(replicas.digest.remote().result()) == 24
