"""Every request of `clients.py`, walked against the application: accepted, answered with all that its client reads, in OpenAI's types."""

from __future__ import annotations

import base64
import inspect
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin

import openai
import pytest
from fastapi.testclient import TestClient
from openai import types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter

from serving.http.app import create_app
from synthseg.config import load_config
from tests.serving.http.clients import CHAT_STREAMS, CHATS, IMAGE_STREAMS, IMAGES, PROMPT, Call
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend

MODEL: Final = "llama"
BIGGEST_TOKENS: Final = 48


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    """The embedded engines: the painter and SmolLM2."""
    return LocalBackend(load_config("embedded", [f"serving.state_dir={tmp_path_factory.mktemp('state')}"]))


@pytest.fixture(scope="module")
def client(backend: LocalBackend) -> Iterator[TestClient]:
    with TestClient(create_app(backend, None, backend.config)) as client:
        yield client


@pytest.fixture(scope="module")
def api(backend: LocalBackend) -> Iterator[openai.OpenAI]:
    with serve(create_app(backend, None, backend.config)) as address:
        yield openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def read(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def events(text: str) -> list[Any]:
    """The data of each server-sent event; [DONE] left out."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


def of_model(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the served model's name, and not more tokens than a test has time for."""
    short = {name: min(value, BIGGEST_TOKENS) for name, value in body.items() if name in ("max_tokens", "max_completion_tokens")}
    return {**body, "model": MODEL, **(short or {"max_tokens": BIGGEST_TOKENS})}


def check_picture(encoded: bytes, body: Mapping[str, Any]) -> None:
    with Image.open(io.BytesIO(encoded)) as image:
        assert body.get("size", "auto") in ("auto", f"{image.width}x{image.height}")
        assert image.format == str(body.get("output_format", "png")).upper()


@pytest.mark.parametrize("call", IMAGES, ids=str)
def test_an_image_request_gets_what_its_client_reads(client: TestClient, call: Call) -> None:
    answer = client.post(f"/v1/images/generations{call.query}", json=dict(call.body), headers=call.headers)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert len(reply["data"]) == call.body.get("n", 1)
    assert all(read(reply, path) is not None for path in call.reads)
    assert reply["ignored_parameters"] == list(call.ignored)
    image = reply["data"][0]
    check_picture(base64.b64decode(image["b64_json"]) if "b64_json" in image else client.get(image["url"]).content, call.body)
    types.ImagesResponse.model_validate(reply)  # OpenAI's own type, choices of words included


@pytest.mark.parametrize("call", IMAGE_STREAMS, ids=str)
def test_an_image_stream_has_openai_s_events(client: TestClient, call: Call) -> None:
    answer = client.post("/v1/images/generations", json=dict(call.body))
    assert answer.status_code == 200, answer.text
    found = [TypeAdapter(types.ImageGenStreamEvent).validate_python(event) for event in events(answer.text)]
    assert [event.type for event in found][-2:] == ["image_generation.partial_image", "image_generation.completed"]
    check_picture(base64.b64decode(found[-1].b64_json), call.body)


@pytest.mark.parametrize("call", CHATS, ids=str)
def test_a_chat_gets_what_its_client_reads(client: TestClient, call: Call) -> None:
    answer = client.post("/v1/chat/completions", json=of_model(call.body))
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert all(read(reply, path) is not None for path in call.reads)
    assert reply["ignored_parameters"] == list(call.ignored)
    ChatCompletion.model_validate(reply)
    if "response_format" in call.body and reply["choices"][0]["finish_reason"] == "stop":
        assert set(json.loads(reply["choices"][0]["message"]["content"])) == {"name", "age"}


@pytest.mark.parametrize("call", CHAT_STREAMS, ids=str)
def test_a_chat_stream_has_openai_s_chunks(client: TestClient, call: Call) -> None:
    answer = client.post("/v1/chat/completions", json=of_model(call.body))
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    chunks = [ChatCompletionChunk.model_validate(event) for event in events(answer.text)]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    counted = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(counted) == ("stream_options" in call.body)


IMAGE_VALUES: Final[dict[str, list[Any]]] = {
    "prompt": [PROMPT],
    "background": ["transparent", "opaque", "auto", None],
    "complexity": ["low", "medium", "high", None],
    "model": ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini", "gpt-image-2", "chatgpt-image-latest", None],
    "moderation": ["low", "auto", None],
    "n": [1, 2, None],
    "output_compression": [100, None],
    "output_format": ["png", "webp", "jpeg", None],
    "quality": ["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd", None],
    "response_format": ["url", "b64_json", None],
    "safety_identifier": ["u-1", None],
    "size": ["auto", "1024x1024", "256x256", "512x512", "768x512", None],
    "stream": [False, None],
    "style": ["vivid", "natural", None],
    "user": ["u-1"],
}
IMAGE_REFUSED: Final[dict[str, list[Any]]] = {
    "frame_count": [4], "frame_duration_ms": [200], "svg": [{"model": "x"}], "output_format": ["gif", "svg"], "size": ["1792x1024"],
    "partial_images": [2], "n": [11], "output_compression": [50],
}  # fmt: skip
"""What no engine here can do, refused by its name: GIF and SVG, sides over serving.max_side_px, previews outside a stream."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in IMAGE_VALUES.items() for value in values])
def test_the_official_client_s_image_parameters_one_by_one(api: openai.OpenAI, name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"prompt": PROMPT, "size": "64x64", name: value}
    reply = api.images.generate(**arguments)
    assert reply.data
    assert len(reply.data) == (value if name == "n" and value else 1)
    types.ImagesResponse.model_validate(reply.model_dump(exclude_unset=True))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in IMAGE_REFUSED.items() for value in values])
def test_what_the_images_api_cannot_do_here_is_refused_by_name(api: openai.OpenAI, name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"prompt": PROMPT, "size": "64x64", name: value}
    with pytest.raises(openai.BadRequestError) as refused:
        api.images.generate(**arguments)
    assert refused.value.param == name


CHAT_VALUES: Final[dict[str, list[Any]]] = {
    "frequency_penalty": [0, None], "logit_bias": [{}, None], "logprobs": [False, None], "max_completion_tokens": [4], "max_tokens": [4],
    "metadata": [{"a": "b"}, None], "modalities": [["text"], None], "n": [1, None], "parallel_tool_calls": [False],
    "prediction": [{"type": "content", "content": "x"}, None], "presence_penalty": [0, None], "prompt_cache_key": ["k"],
    "prompt_cache_options": [{"ttl": "30m"}], "prompt_cache_retention": ["24h", None],
    "reasoning_effort": ["none", "minimal", "low", "medium", "high", "xhigh", None], "response_format": [{"type": "text"}],
    "safety_identifier": ["u-1"], "seed": [1, None], "service_tier": ["auto", "flex", None], "stop": ["x", ["x", "y"], None],
    "store": [False, True, None], "stream": [False, None], "stream_options": [None], "temperature": [0.5, None], "top_logprobs": [0, None],
    "top_p": [0.5, None], "user": ["u-1"], "verbosity": ["low", None],
}  # fmt: skip
CHAT_REFUSED: Final[dict[str, Any]] = {
    "audio": {"voice": "x", "format": "wav"}, "function_call": "auto", "functions": [{"name": "f"}], "tools": [{"type": "function"}],
    "tool_choice": "auto", "web_search_options": {}, "moderation": {"model": "x"}, "logprobs": True, "n": 2, "frequency_penalty": 1,
    "presence_penalty": 1, "logit_bias": {"1": 5}, "top_logprobs": 3, "modalities": ["audio"],
}  # fmt: skip
"""What would change the answer and cannot be done: tools, sound, penalties, probabilities, several answers."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHAT_VALUES.items() for value in values])
def test_the_official_client_s_chat_parameters_one_by_one(api: openai.OpenAI, name: str, value: Any) -> None:
    short = {} if name.startswith("max_") else {"max_tokens": 4}
    arguments: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **short, name: value}
    assert api.chat.completions.create(**arguments).choices[0].message.content is not None


@pytest.mark.parametrize(("name", "value"), CHAT_REFUSED.items())
def test_what_a_chat_cannot_do_here_is_refused_by_name(api: openai.OpenAI, name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], name: value}
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(**arguments)
    assert str(refused.value.param).partition(".")[0] == name


@pytest.mark.parametrize(
    ("method", "given", "walked"),
    [
        (openai.resources.images.Images.generate, {"partial_images"}, {*IMAGE_VALUES, *IMAGE_REFUSED}),
        (openai.resources.chat.completions.Completions.create, {"messages", "model"}, {*CHAT_VALUES, *CHAT_REFUSED}),
    ],
    ids=["images", "chat"],
)
def test_no_parameter_of_the_official_client_is_left_out(method: Any, given: set[str], walked: set[str]) -> None:
    """A new version of the client with a new parameter fails here until it stands in one of the tables."""
    transport = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    assert set(inspect.signature(method).parameters) - transport - given == walked - given


def test_every_word_of_the_official_client_s_choices_is_walked() -> None:
    for name in ("background", "complexity", "moderation", "output_format", "quality", "response_format", "style"):
        annotation = inspect.signature(openai.resources.images.Images.generate, eval_str=True).parameters[name].annotation
        words = {word for part in get_args(annotation) if get_origin(part) is Literal for word in get_args(part)}
        assert words <= {*IMAGE_VALUES[name], *IMAGE_REFUSED.get(name, ())}, name


class Person(BaseModel):
    """For `parse`."""

    model_config = ConfigDict(extra="forbid")

    married: bool
    children: Literal[0, 1, 2]


def test_parse_gives_an_object_of_the_schema(api: openai.OpenAI) -> None:
    question: Any = [{"role": "user", "content": "Invent a person."}]
    found = api.chat.completions.parse(model=MODEL, messages=question, response_format=Person, max_tokens=64, seed=1)
    assert isinstance(found.choices[0].message.parsed, Person)
    with api.chat.completions.stream(model=MODEL, messages=question, response_format=Person, max_tokens=64, seed=1) as stream:
        last = stream.get_final_completion()
    assert last.choices[0].message.parsed == found.choices[0].message.parsed


def test_models_are_listed_and_retrieved_in_openai_s_type(api: openai.OpenAI) -> None:
    for model in api.models.list():
        assert types.Model.model_validate(api.models.retrieve(model.id).model_dump()).id == model.id
    assert api.models.retrieve("dall-e-3").id == "dall-e-3"
