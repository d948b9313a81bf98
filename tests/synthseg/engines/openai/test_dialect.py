"""Refusals that name a field: what is sent next, what the settings say, and what must never be changed."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from synthseg.config.loading import load_config
from synthseg.config.text import EndpointConfig
from synthseg.engines.openai.dialect import Dialect, Dialects, heard
from synthseg.engines.openai.engine import OpenAiEngine
from synthseg.engines.openai.protocol import completion_body, streamed
from synthseg.engines.text import RequestRefused, TextRequest
from synthseg.errors import UsageProblem
from tests.synthseg.engines.endpoint import Fault, endpoint

OBJECT = {
    "type": "object",
    "properties": {"pattern": {"type": "array", "items": {"type": "string", "pattern": "^a$"}, "minItems": 2, "maxItems": 4}},
    "required": ["pattern"],
    "additionalProperties": False,
}
MARKS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "minItems": 3, "maxItems": 3}


def chat(schema: Any = None, max_tokens: int = 8) -> TextRequest:
    return TextRequest(({"role": "user", "content": "Hi"},), seed=1, max_tokens=max_tokens, json_schema=schema)


def error(message: str, param: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param}}


def next_dialect(answer: Any, request: TextRequest, dialect: Dialect = Dialect(), fixed: tuple[str, ...] = ()) -> Dialect | None:  # noqa: B008
    return heard(answer, dialect.spoken(streamed(completion_body(request, "m"))), dialect, fixed, request.json_schema)


@pytest.mark.parametrize(
    ("answer", "request_", "expected"),
    [
        (error("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."), chat(),
         Dialect("max_completion_tokens")),
        (error("Unsupported value: 'temperature' does not support 0.8 with this model."), chat(),
         Dialect(omitted=frozenset({"temperature"}))),
        (error("Unsupported parameter: 'top_p' is not supported with this model."), chat(), Dialect(omitted=frozenset({"top_p"}))),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}]}, chat(),
         Dialect(omitted=frozenset({"seed"}))),
        (error("Unrecognized request argument supplied: stream_options"), chat(), Dialect(omitted=frozenset({"stream_options"}))),
        (error("'minItems' is not permitted.", "response_format"), chat(OBJECT), Dialect(omitted=frozenset({"minItems"}))),
        (error("Unknown parameter: 'response_format.json_schema.strict'."), chat(OBJECT), Dialect(omitted=frozenset({"strict"}))),
        (error("response_format.type `json_schema` is unavailable now"), chat(OBJECT), Dialect(omitted=frozenset({"response_format"}))),
        (error("Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 8 instead."), chat(),
         Dialect(min_tokens=16)),
        (error("max_completion_tokens must be at least 32"), chat(), Dialect(min_tokens=32)),
        (error("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'"), chat(MARKS), Dialect(wraps=True)),
        ("Bad Request", chat(MARKS), Dialect(wraps=True)),
    ],
)  # fmt: skip
def test_a_refusal_changes_the_one_thing_that_it_names(answer: Any, request_: TextRequest, expected: Dialect) -> None:
    assert next_dialect(answer, request_) == expected


@pytest.mark.parametrize(
    "answer",
    [
        error("'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens."),
        error("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        error("This model's maximum context length is 4096 tokens. Please reduce the length of the messages."),
        error("The seed of all evil was filtered"),
        {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "input": {"seed": 1, "temperature": 0.8}}]},
        "",
        None,
    ],
)
def test_a_refusal_of_the_request_itself_changes_nothing(answer: Any) -> None:
    assert next_dialect(answer, chat(OBJECT)) is None


def test_a_keyword_is_left_out_everywhere_and_a_property_of_its_name_stays() -> None:
    body = Dialect(omitted=frozenset({"pattern", "minItems"})).spoken(completion_body(chat(OBJECT), "m"))
    assert body["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"pattern": {"type": "array", "items": {"type": "string"}, "maxItems": 4}},
        "required": ["pattern"],
        "additionalProperties": False,
    }


def test_a_field_is_changed_once_and_its_refusal_is_then_the_error() -> None:
    with endpoint(lambda _: "never") as server:
        server.refuse = lambda _: Fault(400, error("Unsupported parameter: 'temperature' is not supported with this model."))
        with pytest.raises(RequestRefused, match="'temperature' is not supported"):
            OpenAiEngine(server.url, "m").generate([chat()])
        assert ["temperature" in body for body in server.bodies] == [True, False]
        server.refuse = lambda _: None
        OpenAiEngine(server.url, "m").generate([chat()])
        assert "temperature" in server.bodies[-1], "what did not help is not remembered"


def test_what_an_endpoint_wants_holds_for_its_model_only() -> None:
    with endpoint(lambda _: "Hello!") as server:
        server.refuse = lambda body: (
            Fault(400, error("Unsupported parameter: 'seed' is not supported.")) if body["model"] == "m" and "seed" in body else None
        )
        for model in ("m", "other", "m"):
            OpenAiEngine(server.url, model).generate([chat()])
        assert [(body["model"], "seed" in body) for body in server.bodies] == [("m", True), ("m", False), ("other", True), ("m", False)]


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ({"max_tokens": "max_completion_tokens"}, {"max_tokens": False, "max_completion_tokens": True}),
        ({"temperature": "", "seed": ""}, {"temperature": False, "seed": False, "top_p": True}),
        ({"response_format": ""}, {"response_format": False}),
    ],
)
def test_a_setting_decides_before_any_refusal(settings: dict[str, str], has: dict[str, bool]) -> None:
    with endpoint(lambda _: "Hello!") as server:
        OpenAiEngine(server.url, "m", EndpointConfig(fields=settings)).generate([chat(OBJECT)])
        (body,) = server.bodies
    assert {name: name in body for name in has} == has


def test_a_field_that_a_setting_keeps_is_not_left_out() -> None:
    with endpoint(lambda _: "Hello!") as server:
        server.refuse = lambda body: Fault(400, error("Unsupported parameter: 'seed' is not supported.")) if "seed" in body else None
        OpenAiEngine(server.url, "m").generate([chat()])
        with pytest.raises(RequestRefused, match="'seed' is not supported"):
            OpenAiEngine(server.url, "m", EndpointConfig(fields={"seed": "seed"})).generate([chat()])


def test_what_a_setting_changes_is_no_finding(caplog: pytest.LogCaptureFixture) -> None:
    with endpoint(lambda _: "Hello!") as server, caplog.at_level(logging.WARNING, "synthseg.endpoint"):
        settings = EndpointConfig(fields={"seed": "", "max_tokens": "max_completion_tokens"}, min_tokens=9)
        OpenAiEngine(server.url, "m", settings).generate([chat()])
        OpenAiEngine(server.url, "m").generate([chat()])
        assert (server.bodies[-1]["seed"], server.bodies[-1]["max_tokens"]) == (1, 8)
    assert caplog.records == []


def test_fewest_tokens_may_be_set() -> None:
    with endpoint(lambda _: "Hello!") as server:
        OpenAiEngine(server.url, "m", EndpointConfig(min_tokens=64)).generate([chat(max_tokens=8), chat(max_tokens=100)])
        assert sorted(body["max_tokens"] for body in server.bodies) == [64, 100]


def test_a_server_that_wants_16_tokens_gets_them_from_the_probe_on() -> None:
    with endpoint(lambda _: "Hello!") as server:
        server.refuse = lambda body: (
            Fault(400, error("Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead."))
            if body["max_tokens"] < 16
            else None
        )
        OpenAiEngine(server.url, "m").check()
        OpenAiEngine(server.url, "m").check()
        assert [body["max_tokens"] for body in server.bodies] == [1, 16, 16]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("temprature=", r"execution\.endpoint\.fields: 'temprature' is no field that can be changed; those are max_tokens, temperature"),
        ("max_tokens=", r"execution\.endpoint\.fields\.max_tokens: must be 'max_tokens' or 'max_completion_tokens', not ''"),
        ("seed=random_seed", r"execution\.endpoint\.fields\.seed: must be 'seed' or '', not 'random_seed'"),
    ],
)
def test_a_setting_that_names_no_field_is_refused(setting: str, says: str) -> None:
    with pytest.raises(UsageProblem, match=says):
        load_config("embedded", [f"execution.endpoint.fields.{setting}"])


def test_the_settings_are_no_part_of_a_run() -> None:
    plain = load_config("embedded")
    changed = load_config("embedded", ["execution.endpoint.fields.max_tokens=max_completion_tokens", "execution.endpoint.min_tokens=16"])
    assert changed.execution.endpoint.fields == {"max_tokens": "max_completion_tokens"}
    assert changed.fingerprint() == plain.fingerprint()


def test_threads_learn_together_and_each_thing_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    dialects = Dialects()
    found = [Dialect(omitted=frozenset({name})) for name in ("seed", "top_p", "temperature")] + [
        Dialect(wraps=True),
        Dialect(min_tokens=16),
    ]
    with caplog.at_level(logging.WARNING, "synthseg.endpoint"), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda dialect: dialects.learn("http://x", "m", dialect), found * 40))
    assert dialects.of("http://x", "m") == Dialect(omitted=frozenset({"seed", "top_p", "temperature"}), wraps=True, min_tokens=16)
    assert dialects.of("http://x", "n") == Dialect()
    assert len(caplog.records) == len(found)
