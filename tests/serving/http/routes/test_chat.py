"""The language model through the official client: the real SmolLM2 behind uvicorn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from synthseg.config import load_config
from synthseg.engines.llama.engine import LlamaEngine
from synthseg.engines.text import TextRequest
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend

MESSAGES: list[Any] = [{"role": "user", "content": "Describe a horse in a meadow."}]
ENGINE_MESSAGES = ({"role": "user", "content": "Describe a horse in a meadow."},)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return LocalBackend(load_config("embedded", [f"serving.state_dir={tmp_path_factory.mktemp('state')}"]))


@pytest.fixture(scope="module")
def engine(backend: LocalBackend) -> LlamaEngine:
    assert isinstance(backend.text_engine, LlamaEngine)
    return backend.text_engine


@pytest.fixture(scope="module")
def api(backend: LocalBackend) -> Iterator[openai.OpenAI]:
    with serve(create_app(backend, None, backend.config)) as address:
        yield openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def client(backend: LocalBackend) -> Iterator[TestClient]:
    with TestClient(create_app(backend, None, backend.config)) as client:
        yield client


def test_a_chat_is_what_the_engine_says(api: openai.OpenAI, engine: LlamaEngine) -> None:
    reply = api.chat.completions.create(model="llama", messages=MESSAGES, seed=5, max_tokens=12, temperature=0.7)
    own = engine.generate([TextRequest(ENGINE_MESSAGES, seed=5, max_tokens=12, temperature=0.7, top_p=1.0)])[0]
    assert reply.choices[0].message.content == own.text
    assert reply.choices[0].finish_reason == own.finish_reason == "length"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (own.prompt_tokens, 12)
    assert reply.usage.total_tokens == own.prompt_tokens + 12
    assert reply.object == "chat.completion"
    assert reply.model == "llama"


def test_a_stream_tells_the_same_text(api: openai.OpenAI) -> None:
    question: dict[str, Any] = {"model": "llama", "messages": MESSAGES, "seed": 5, "max_completion_tokens": 12}
    whole = api.chat.completions.create(**question)
    chunks = list(api.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
    *told, usage = chunks
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == whole.choices[0].message.content
    assert sum(bool(chunk.choices[0].delta.content) for chunk in told) > 3
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["length"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert usage.choices == []
    assert usage.usage == whole.usage


def test_a_schema_holds_the_answer(api: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"animal": {"enum": ["horse", "cow"]}}, "required": ["animal"], "additionalProperties": False}
    reply = api.chat.completions.create(
        model="llama",
        messages=MESSAGES,
        seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "animal", "schema": schema, "strict": True}},
    )
    assert json.loads(reply.choices[0].message.content or "") in ({"animal": "horse"}, {"animal": "cow"})


def test_content_parts_and_the_developer_role(api: openai.OpenAI) -> None:
    common: dict[str, Any] = {"model": "llama", "seed": 2, "max_tokens": 8}
    parts = [{"type": "text", "text": "Describe a "}, {"type": "text", "text": "horse."}]
    one = api.chat.completions.create(
        messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}], **common
    )  # type: ignore[list-item, misc]
    other = api.chat.completions.create(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Describe a horse."}], **common
    )
    assert one.choices[0].message.content == other.choices[0].message.content


def test_a_drawn_seed_is_told_and_gives_the_text_again(client: TestClient) -> None:
    question = {"messages": MESSAGES, "max_tokens": 8}
    first = client.post("/v1/chat/completions", json=question).json()
    again = client.post("/v1/chat/completions", json={**question, "seed": first["seed"]}).json()
    assert again["choices"] == first["choices"]


def test_text_is_continued(api: openai.OpenAI, engine: LlamaEngine) -> None:
    reply = api.completions.create(model="llama", prompt="Apples, pears,", seed=3, max_tokens=8, temperature=0)
    own = engine.generate([TextRequest((), seed=3, prompt="Apples, pears,", max_tokens=8, temperature=0.0, top_p=1.0)])[0]
    assert reply.choices[0].text == own.text != ""
    pieces = list(
        api.completions.create(model="llama", prompt="Apples, pears,", seed=3, max_tokens=8, temperature=0, stream=True, echo=True)
    )
    assert "".join(piece.choices[0].text for piece in pieces) == "Apples, pears," + own.text
    assert pieces[-1].choices[0].finish_reason == "length"


def test_a_stop_ends_the_text(api: openai.OpenAI) -> None:
    question: dict[str, Any] = {"model": "llama", "prompt": "Apples, pears,", "seed": 3, "max_tokens": 24, "temperature": 0}
    text = api.completions.create(**question).choices[0].text
    word = text.split()[2]
    cut = api.completions.create(**question, stop=[word, "never said"]).choices[0]
    assert cut.text == text[: text.index(word)]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_engine_refuses_is_a_bad_request(api: openai.OpenAI, stream: bool) -> None:
    long: list[Any] = [{"role": "user", "content": "字" * 3500}]
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(model="llama", messages=long, stream=stream)
    assert (refused.value.param, refused.value.code) == ("messages", "context_length_exceeded")
    no_schema: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(model="llama", messages=MESSAGES, response_format=no_schema, stream=stream)
    assert refused.value.param == "response_format"


def test_an_unknown_model_is_not_found(api: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        api.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        api.completions.create(model="painter", prompt="x")  # an image model


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x" * 4001}]}, "messages"),
        ({"n": 2}, "n"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": []}, "tools"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: TestClient, change: dict[str, Any], param: str) -> None:
    reply = client.post("/v1/chat/completions", json={"messages": MESSAGES, **change})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param


def test_too_many_stops(client: TestClient) -> None:
    reply = client.post("/v1/completions", json={"prompt": "x", "stop": ["a", "b", "c", "d", "e"]})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("stop")


@pytest.mark.parametrize(
    ("levels", "param"), [(100, "response_format.json_schema.schema"), (400, "response_format.json_schema.schema"), (50_000, None)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_beyond_a_bound_is_refused_before_the_engine(client: TestClient, levels: int, param: str | None, stream: bool) -> None:
    schema = '{"not":' * levels + "{}" + "}" * levels
    form = '{"type": "json_schema", "json_schema": {"name": "x", "schema": ' + schema + "}}"
    body = f'{{"messages": {json.dumps(MESSAGES)}, "stream": {json.dumps(stream)}, "response_format": {form}}}'
    reply = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param
    if param:
        assert reply.json()["error"]["message"] == f"{param}: is nested more than 64 levels deep"
