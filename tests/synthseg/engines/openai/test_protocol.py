from __future__ import annotations

import json
from typing import Any

import pytest

from synthseg.engines.openai.protocol import CompletionStream, Refused, completion_reply, error_message

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]}


def answer(content: Any, finish: Any = "stop", usage: Any = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}], "usage": usage}


def streamed(*chunks: Any, done: bool = True) -> tuple[list[str], CompletionStream]:
    stream = CompletionStream()
    pieces = [stream.take(f"data: {json.dumps(chunk)}") for chunk in chunks]
    if done:
        stream.take("data: [DONE]")
    return [piece for piece in pieces if piece], stream


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("A horse.", "A horse."),
        (None, ""),
        ([], ""),
        ([THOUGHT, {"type": "text", "text": "A horse."}], "A horse."),
        ([{"type": "text", "text": "A "}, {"type": "text", "text": "horse."}], "A horse."),
        ([{"type": "output_text", "text": "A horse."}], "A horse."),
        ([{"type": "reasoning", "text": "Hm."}, "A horse."], "A horse."),
        ([THOUGHT], ""),
    ],
)
def test_the_texts_of_a_message_are_joined_and_its_thoughts_left_out(content: Any, text: str) -> None:
    assert completion_reply(answer(content)).text == text
    pieces, stream = streamed({"choices": [{"delta": {"content": content}, "finish_reason": "stop"}]})
    assert ("".join(pieces), stream.reply().text) == (text, text)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"text": "A horse."}, "dict"),
        (7, "int"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "image_url"),
        ([{"type": "text", "text": None}], "text"),
        ([{"text": "A horse."}], "None"),
        ([7], "int"),
    ],
)
def test_content_of_another_type_is_refused(content: Any, kind: str) -> None:
    with pytest.raises(Refused, match=f"no completion .*of type {kind}"):
        completion_reply(answer(content))
    with pytest.raises(Refused, match=f"of type {kind}"):
        streamed({"choices": [{"delta": {"content": content}}]})


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None, "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {"choices": []},
        {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": None, "reasoning_content": "Hm."}}]},
        {"prompt_filter_results": []},
    ],
)
def test_what_holds_no_text_in_a_stream_is_passed_over(chunk: Any) -> None:
    text = {"choices": [{"delta": {"content": "A horse."}, "finish_reason": "stop"}]}
    pieces, stream = streamed(chunk, text, chunk)
    assert (pieces, stream.reply().text, stream.reply().finish_reason) == (["A horse."], "A horse.", "stop")


def test_a_stream_ends_with_a_reason_or_with_done() -> None:
    text = {"choices": [{"delta": {"content": "A horse."}, "finish_reason": None}]}
    assert streamed(text)[1].reply().text == "A horse."
    with pytest.raises(Refused, match="broke off"):
        streamed(text, done=False)[1].reply()


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "stop"), ("eos", "stop"), (None, "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length")],
)
def test_how_a_text_ended(finish: Any, reason: str) -> None:
    assert completion_reply(answer("A", finish)).finish_reason == reason


def test_a_text_that_ends_with_an_error_is_none() -> None:
    with pytest.raises(Refused, match="ended with an error"):
        completion_reply(answer("A hor", "error"))
    with pytest.raises(Refused, match="overloaded"):
        streamed({"error": {"code": 503, "message": "overloaded"}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]})


@pytest.mark.parametrize("usage", [None, [], "none", {"prompt_tokens": None}])
def test_missing_counts_are_none_used(usage: Any) -> None:
    assert completion_reply(answer("A", usage=usage)).prompt_tokens == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": {"message": "no model"}}, "no model"),
        ({"error": "no model"}, "no model"),
        ({"object": "error", "message": "no model", "code": 404}, "no model"),
        ([{"error": {"message": "no model", "code": 400}}], "no model"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 7}]},
         "body.seed: Extra inputs are not permitted"),
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "not permitted"}]}}, "body.seed: not permitted"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "too short"}}}, "Provider returned error (too short)"),
        ("<html>\n not here</html>", "<html> not here</html>"),
        ({}, "{}"),
        (None, "no reason given"),
        ([], "no reason given"),
    ],
)  # fmt: skip
def test_an_error_in_any_form_is_one_line(body: Any, says: str) -> None:
    assert error_message(body) == says
