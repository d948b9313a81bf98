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


class Refused(Exception):
    """The server said an error in place of an answer. `status` below 500 blames the request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


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


def completion_reply(answer: Any) -> TextReply:
    """The first choice of an answer. Refused when it is an error or has another form."""
    raise_error(answer)
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content") if "message" in choice else choice["text"]
        return _reply(text or "", choice.get("finish_reason"), answer.get("usage"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Refused(502, f"the answer is no completion ({type(error).__name__}: {error})") from error


def error_message(answer: Any) -> str:
    """What an error body says, in any of the forms that servers use."""
    found = answer.get("error", answer.get("detail", answer.get("message"))) if isinstance(answer, Mapping) else answer
    if isinstance(found, Mapping):
        found = found.get("message", found)
    return " ".join(str(found).split())[:300] if found else "no reason given"


def raise_error(answer: Any) -> None:
    """Refused when `answer` holds an error."""
    if isinstance(answer, Mapping) and answer.get("error"):
        error = answer["error"]
        code = error.get("code") if isinstance(error, Mapping) else None
        raise Refused(code if isinstance(code, int) else 500, error_message(answer))


class CompletionStream:
    """Collects one streamed answer from the lines of its server-sent events."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def take(self, line: str) -> str:
        """The piece of text in a line; empty where it holds none. Refused when it tells of an error."""
        if not line.startswith(_DATA):
            return ""
        data = line.removeprefix(_DATA).strip()
        if not data or data == _DONE:
            return ""
        try:
            chunk = json.loads(data)
            raise_error(chunk)
            self._usage = chunk.get("usage") or self._usage
            found = ""
            for choice in chunk.get("choices", ()):
                self._finish = choice.get("finish_reason") or self._finish
                found += (choice["text"] if "text" in choice else choice["delta"].get("content")) or ""
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Refused(502, f"a chunk of the stream is none ({type(error).__name__}: {error})") from error
        if found:
            self._pieces.append(found)
        return found

    def reply(self) -> TextReply:
        """The whole text. Refused when the stream broke off before it told how it ended."""
        if self._finish is None:
            raise Refused(502, "the stream broke off")
        return _reply("".join(self._pieces), self._finish, self._usage)


def _reply(text: str, finish_reason: Any, usage: Mapping[str, Any] | None) -> TextReply:
    counts = usage or {}
    return TextReply(
        text=text,
        finish_reason="length" if finish_reason == "length" else "stop",
        prompt_tokens=int(counts.get("prompt_tokens") or 0),
        completion_tokens=int(counts.get("completion_tokens") or 0),
    )
