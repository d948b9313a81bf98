"""OpenAI's chat and text completions in both directions: what any compatible server is sent, and what it says. No transport here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from synthseg.engines.text import TextReply, TextRequest

SEED_BITS: Final = 32
"""Some servers, llama.cpp among them, keep no more. One number everywhere, so that an endpoint draws as the embedded engine does."""

_DATA: Final = "data:"
_DONE: Final = "[DONE]"
_TEXTS: Final = ("text", "output_text")
_THOUGHTS: Final = ("thinking", "redacted_thinking", "reasoning", "reasoning_text", "refusal")
_LENGTHS: Final = ("length", "max_tokens", "model_length")
_MOST_CHARS: Final = 300
_MOST_ERRORS: Final = 5
_DEPTH: Final = 8


class Refused(Exception):
    """The server said an error in place of an answer. `status` below 500 blames the request."""

    def __init__(self, status: int, message: str, answer: Any = None) -> None:
        """`answer` is the error's body, as far as it was read."""
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.answer = answer


def completion_body(request: TextRequest, model: str) -> dict[str, Any]:
    """`request` as the JSON of /chat/completions, or of /completions where it has a raw prompt."""
    body: dict[str, Any] = {
        "model": model,
        "seed": request.seed % (1 << SEED_BITS),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.prompt is None:
        body["messages"] = [dict(message) for message in request.messages]
    else:
        body["prompt"] = request.prompt
    if request.stop:
        body["stop"] = list(request.stop)
    if request.json_schema is not None:
        schema = {"name": "reply", "schema": dict(request.json_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def streamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` asking for a stream that ends with the token counts."""
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def whole_event(answer: Any) -> str:
    """The line of a stream that says the whole of an answer at once."""
    return f"{_DATA} {json.dumps(answer)}"


def completion_reply(answer: Any) -> TextReply:
    """The first choice of an answer. Refused when it is an error or has another form."""
    raise_error(answer)
    try:
        choice = answer["choices"][0]
        content = choice["message"].get("content") if "message" in choice else choice["text"]
        return _reply(_text(content), choice.get("finish_reason"), answer.get("usage"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Refused(502, f"the answer is no completion ({type(error).__name__}: {error})") from error


def error_message(answer: Any) -> str:
    """What an error body says, in any of the forms that servers use."""
    return " ".join(_said(answer).split())[:_MOST_CHARS] or "no reason given"


def raise_error(answer: Any) -> None:
    """Refused when `answer` holds an error."""
    if isinstance(answer, Mapping) and answer.get("error"):
        error = answer["error"]
        code = error.get("code") if isinstance(error, Mapping) else None
        raise Refused(code if isinstance(code, int) and code >= 300 else 500, error_message(answer), answer)


class CompletionStream:
    """Collects one streamed answer from the lines of its server-sent events."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._done = False

    def take(self, line: str) -> str:
        """The piece of text in a line; empty where it holds none. Refused when it tells of an error."""
        if not line.startswith(_DATA):
            return ""
        data = line.removeprefix(_DATA).strip()
        self._done = self._done or data == _DONE
        if not data or data == _DONE:
            return ""
        try:
            chunk = json.loads(data)
            raise_error(chunk)
            self._usage = chunk.get("usage") or self._usage
            found = ""
            for choice in chunk.get("choices") or ():
                self._finish = choice.get("finish_reason") or self._finish
                delta = choice.get("delta") or choice.get("message") or {}  # null beside usage or a content filter's verdict
                found += _text(choice["text"] if "text" in choice else delta.get("content"))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise Refused(502, f"a chunk of the stream is none ({type(error).__name__}: {error})") from error
        if found:
            self._pieces.append(found)
        return found

    def reply(self) -> TextReply:
        """The whole text. Refused when the stream broke off before it told that it ended."""
        if self._finish is None and not self._done:
            raise Refused(502, "the stream broke off")
        return _reply("".join(self._pieces), self._finish, self._usage)


def _text(content: Any) -> str:
    """The text of a message's content: a string, nothing, or a list of parts, of which thoughts are left out. TypeError for the rest."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError(f"content is of type {type(content).__name__}")
    return "".join(map(_part, content))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    if kind in _THOUGHTS:
        return ""
    if kind not in _TEXTS or not isinstance(part["text"], str):
        raise TypeError(f"a part of the content is of type {kind}")
    return str(part["text"])


def _said(answer: Any, depth: int = _DEPTH) -> str:
    """What `error_message` makes one line of."""
    if depth == 0:
        return ""
    if isinstance(answer, list):
        return "; ".join(filter(None, (_said(item, depth - 1) for item in answer[:_MOST_ERRORS])))
    if not isinstance(answer, Mapping):
        return "" if answer is None else str(answer)
    if isinstance(answer.get("msg"), str):  # a validation error of FastAPI or Mistral
        place = ".".join(map(str, answer.get("loc") or ()))
        return f"{place}: {answer['msg']}" if place else answer["msg"]
    found = next((answer[key] for key in ("error", "detail", "message") if answer.get(key)), None)
    cause = answer["metadata"].get("raw") if isinstance(answer.get("metadata"), Mapping) else None  # OpenRouter: what its provider said
    said = _said(found, depth - 1) or str(dict(answer))
    return f"{said} ({_said(cause, depth - 1)})" if cause else said


def _reply(text: str, finish_reason: Any, usage: Any) -> TextReply:
    if finish_reason == "error":
        raise Refused(502, "the text ended with an error")
    counts = usage if isinstance(usage, Mapping) else {}
    return TextReply(
        text=text,
        finish_reason="length" if str(finish_reason).lower() in _LENGTHS else "stop",
        prompt_tokens=int(counts.get("prompt_tokens") or 0),
        completion_tokens=int(counts.get("completion_tokens") or 0),
    )
