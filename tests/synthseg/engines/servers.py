"""What servers of OpenAI's protocol refuse and how they answer, as their users and documentation report it.

Each row holds what its sources report, error bodies included; what they do not report is taken to be OpenAI's form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.synthseg.engines.endpoint import Fault, Shape

Body = Mapping[str, Any]
Refuse = Callable[[Body], Fault | None]


@dataclass(frozen=True)
class Server:
    """One server. `sent` tells what it gets in place of what it refuses, in the words of the log."""

    name: str
    sources: tuple[str, ...]
    refuses: tuple[Refuse, ...] = ()
    sent: tuple[str, ...] = ()
    shape: Shape = field(default_factory=Shape)
    says: Callable[[str], str] = lambda text: text
    """What its models make of the JSON that they were asked for."""
    answers: str = "OpenAI's form"
    """What is special about its answers, for the documentation."""

    def refuse(self, body: Body) -> Fault | None:
        """The first refusal that the body meets."""
        return next((fault for refuse in self.refuses if (fault := refuse(body)) is not None), None)


def openai_error(message: str, param: str | None, code: str | None = None, status: int = 400) -> Fault:
    return Fault(status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def schema_of(body: Body) -> Mapping[str, Any]:
    return dict(body.get("response_format", {}).get("json_schema", {}).get("schema", {}))


def holds(schema: Any, keyword: str) -> bool:
    return f'"{keyword}":' in json.dumps(schema)


def when(condition: Callable[[Body], bool], fault: Fault) -> Refuse:
    return lambda body: fault if condition(body) else None


def has(name: str) -> Callable[[Body], bool]:
    return lambda body: name in body


def has_keyword(keyword: str) -> Callable[[Body], bool]:
    return lambda body: holds(schema_of(body), keyword)


_NO_MAX_TOKENS = when(
    has("max_tokens"),
    openai_error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
    ),
)
_ONLY_OBJECTS = when(
    lambda body: schema_of(body).get("type") == "array",
    openai_error(
        "Invalid schema for response_format 'reply': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'.",
        "response_format",
    ),
)


def _unsupported_value(body: Body) -> Fault | None:
    if body.get("temperature", 1) == 1:
        return None
    return openai_error(
        f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. "
        "Only the default (1) value is supported.",
        "temperature",
        "unsupported_value",
    )


def _at_least_16(body: Body) -> Fault | None:
    """OpenRouter hands on what its provider said, in a string inside `metadata`."""
    asked = body.get("max_tokens", body.get("max_completion_tokens", 16))
    if asked >= 16:
        return None
    raw = {
        "error": {
            "message": f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {asked} instead.",
            "type": "invalid_request_error",
            "param": "max_output_tokens",
            "code": "integer_below_min_value",
        }
    }
    metadata = {"raw": json.dumps(raw, indent=2), "provider_name": "Azure"}
    return Fault(400, {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}, "user_id": "x"})


def _mistral(name: str) -> Refuse:
    def refuse(body: Body) -> Fault | None:
        if name not in body:
            return None
        detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": body[name]}]
        return Fault(422, {"detail": detail})

    return refuse


def _gemini(name: str) -> Refuse:
    said = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"description": said}]}]
    return when(has(name), Fault(400, [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT", "details": details}}]))


def _groq(keyword: str) -> Refuse:
    said = f"invalid schema for response format: response_format/json_schema/captions: {keyword} is not supported"
    return when(has_keyword(keyword), Fault(400, {"error": {"message": said, "type": "invalid_request_error"}}))


def _cerebras(body: Body) -> Fault | None:
    bad = sorted(
        keyword for keyword in ("minItems", "maxItems", "items", "pattern", "minLength", "maxLength") if holds(schema_of(body), keyword)
    )
    if not bad:
        return None
    return Fault(
        400,
        {
            "message": f"Unsupported JSON schema fields: {{{', '.join(map(repr, bad))}}}",
            "type": "invalid_request_error",
            "param": "response_format",
            "code": "wrong_api_format",
        },
    )


_USAGE: Final = {"prompt_tokens": 5, "completion_tokens": 7}
_AZURE_FIRST: Final = {
    "id": "", "object": "", "created": 0, "model": "", "choices": [],
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}],
}  # fmt: skip
_AZURE_FILTER: Final = {
    "id": "", "object": "", "choices": [{"index": 0, "delta": None, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}],
}  # fmt: skip
_RUST: Final = "Failed to deserialize the JSON body into the target type: response_format"
_THOUGHT: Final = "They want a caption with the words that they gave."
_OBJECT: Final = "gets schemas that are no object inside one"
_COMPLETION_TOKENS: Final = "gets max_completion_tokens in place of max_tokens"


def _fenced(text: str) -> str:
    return f"```json\n{text}\n```"


SERVERS: Final = (
    Server(
        "OpenAI",
        ("https://github.com/podly-pure-podcasts/podly_pure_podcasts/pull/89",),
        (_ONLY_OBJECTS,),
        (_OBJECT,),
    ),
    Server(
        "OpenAI, reasoning models",
        ("https://github.com/microsoft/clarity-agent/issues/59", "https://github.com/vercel/ai/issues/6034"),
        (_NO_MAX_TOKENS, _unsupported_value, _ONLY_OBJECTS),
        (_COMPLETION_TOKENS, "gets no temperature", _OBJECT),
        Shape(beside={"refusal": None, "annotations": []}),
    ),
    Server(
        "Azure OpenAI",
        (
            "https://github.com/owndev/Open-WebUI-Functions/issues/136",
            "https://github.com/AbanteAI/archive-old-cli-mentat/issues/429",
            "https://github.com/eneo-ai/eneo/pull/126",
        ),
        (_NO_MAX_TOKENS, _ONLY_OBJECTS),
        (_COMPLETION_TOKENS, _OBJECT),
        Shape(first_chunks=(_AZURE_FIRST, _AZURE_FILTER)),
        answers="chunks without choices, choices whose `delta` is null",
    ),
    Server(
        "OpenRouter",
        ("https://github.com/vectorize-io/hindsight/issues/58", "https://openrouter.ai/docs/api-reference/streaming"),
        (_at_least_16,),
        ("is asked for 16 tokens at least",),
        Shape(beside={"reasoning": _THOUGHT}, comment="OPENROUTER PROCESSING"),
        answers="comments in streams, `reasoning`, a provider's error inside its own",
    ),
    Server(
        "Groq",
        ("https://github.com/i-am-bee/beeai-framework/issues/1215",),
        (_groq("minItems"), _groq("maxItems")),
        ("gets no maxItems", "gets no minItems"),
    ),
    Server(
        "Cerebras",
        ("https://github.com/musistudio/claude-code-router/issues/708", "https://github.com/musistudio/claude-code-router/issues/338"),
        (_cerebras,),
        ("gets no response_format",),
        answers="an error body without `error`",
    ),
    Server(
        "Mistral",
        (
            "https://github.com/langchain-ai/langchain-azure/issues/82",
            "https://github.com/infiniflow/ragflow/pull/14805",
            "https://github.com/agentjido/req_llm/issues/742",
        ),
        (_mistral("seed"),),
        ("gets no seed",),
        Shape(
            content=lambda text: [
                {"type": "thinking", "thinking": [{"type": "text", "text": _THOUGHT}], "closed": True},
                {"type": "text", "text": text},
            ]
        ),
        answers="content as a list of thoughts and texts",
    ),
    Server(
        "DeepSeek",
        ("https://github.com/llm-exe/llm-exe/issues/662", "https://api-docs.deepseek.com/guides/reasoning_model"),
        (
            when(
                has("response_format"),
                Fault(
                    400,
                    {
                        "error": {
                            "message": "This response_format type is unavailable now",
                            "type": "invalid_request_error",
                            "param": None,
                            "code": "invalid_request_error",
                        }
                    },
                ),
            ),
        ),
        ("gets no response_format",),
        Shape(beside={"reasoning_content": _THOUGHT}, comment="keep-alive"),
        says=_fenced,
        answers="`reasoning_content`, JSON in a fence",
    ),
    Server(
        "Gemini",
        ("https://github.com/Vali-98/ChatterUI/issues/227",),
        (_gemini("seed"),),
        ("gets no seed",),
        answers="a list around the error",
    ),
    Server(
        "Anthropic",
        ("https://docs.anthropic.com/en/api/openai-sdk", "https://github.com/iOfficeAI/AionUi/issues/2081"),
        (
            when(
                lambda body: "temperature" in body and "top_p" in body,
                Fault(
                    400,
                    {
                        "type": "error",
                        "error": {
                            "type": "invalid_request_error",
                            "message": "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
                        },
                        "request_id": "req_1",
                    },
                ),
            ),
        ),
        ("gets no top_p",),
        says=lambda text: f"Here is what you asked for:\n\n{_fenced(text)}",
        answers="schema and seed are ignored",
    ),
    Server(
        "vLLM",
        ("https://docs.vllm.ai/en/latest/features/reasoning_outputs.html",),
        shape=Shape(beside={"reasoning": _THOUGHT, "reasoning_content": _THOUGHT, "tool_calls": []}),
        answers="`reasoning`",
    ),
    Server(
        "vLLM 0.8, xgrammar",
        ("https://github.com/vllm-project/vllm/issues/16880",),
        (
            when(
                has_keyword("minItems"),
                Fault(
                    400,
                    {
                        "object": "error",
                        "message": "The provided JSON schema contains features not supported by xgrammar.",
                        "type": "BadRequestError",
                        "param": None,
                        "code": 400,
                    },
                ),
            ),
        ),
        ("gets no maxItems", "gets no maxLength", "gets no minItems", "gets no minLength"),
        answers="an error body without `error`, no word on what it does not support",
    ),
    Server(
        "SGLang",
        ("https://github.com/sgl-project/sglang/issues/33504",),
        shape=Shape(beside={"reasoning_content": _THOUGHT, "tool_calls": None}),
        answers="`reasoning_content`, an error body without `error`",
    ),
    Server(
        "llama.cpp",
        ("https://github.com/ggml-org/llama.cpp/issues/25895", "https://github.com/flagdizero/jenny-android-ai-agent/issues/2"),
        (
            when(
                has_keyword("pattern"),
                Fault(
                    400,
                    {
                        "error": {
                            "code": 400,
                            "message": "Failed to initialize samplers: failed to parse grammar",
                            "type": "invalid_request_error",
                        }
                    },
                ),
            ),
        ),
        ("gets no pattern",),
        answers="some builds make no grammar of a pattern",
    ),
    Server(
        "Ollama",
        ("https://docs.ollama.com/api/openai-compatibility",),
        shape=Shape(beside={"reasoning": _THOUGHT}),
        answers="`reasoning`",
    ),
    Server(
        "Ollama 0.5",
        ("https://github.com/ollama/ollama/issues/8185",),
        (when(has_keyword("pattern"), Fault(400, {"error": "invalid JSON schema in format"})),),
        ("gets no pattern",),
        answers="an error as a string, no word on what it does not support",
    ),
    Server(
        "LM Studio",
        ("https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/307",),
        says=lambda text: f"<think>\n{_THOUGHT}\n</think>\n\n{text}",
        answers="thoughts inside the text, an error as a string",
    ),
    Server(
        "TGI",
        (
            "https://github.com/huggingface/text-generation-inference/issues/2899",
            "https://github.com/huggingface/text-generation-inference/pull/3003",
        ),
        (
            when(
                has("response_format"),
                Fault(422, f"{_RUST}: missing field `value` at line 1 column 168"),
            ),
        ),
        ("gets no response_format",),
        Shape(finish="eos_token", last_chunks=({"choices": None, "usage": _USAGE},)),
        answers="`finish_reason` eos_token, choices that are null",
    ),
    Server(
        "Together",
        ("https://github.com/vibrantlabsai/ragas/issues/1548", "https://github.com/BerriAI/litellm/pull/38269"),
        shape=Shape(finish="eos", beside={"reasoning_content": _THOUGHT}),
        answers="`finish_reason` eos, `reasoning_content`",
    ),
)  # fmt: skip
