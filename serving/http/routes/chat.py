"""`POST /v1/chat/completions` and `/v1/completions`: the language model, at once or as a stream of chunks."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from serving.http.contracts import DeadlineExceeded, ModelInfo
from serving.http.deps import CurrentTenant, Deps
from serving.http.errors import ApiError, invalid, refusal, responses
from serving.http.models import served_model
from serving.http.schema_bounds import check_schema
from serving.http.schemas_text import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionRequest,
    CompletionRequest,
    SamplingRequest,
    SchemaFormat,
    TextChoice,
    TextCompletion,
    Usage,
)
from serving.http.streams import DONE, EVENT_STREAM_CONTENT, Event, event_stream, while_connected, within
from serving.state.keys import Tenant
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.ids import SEED_BITS

_DEFAULT_MAX_TOKENS: Final = 512
_ANY_OBJECT: Final = {"type": "object"}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request that has passed every check."""

    model: ModelInfo
    tenant: Tenant
    request: TextRequest
    text_field: str
    """The field that holds the text, for errors."""
    completion_id: str
    include_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def common(self, kind: str) -> dict[str, Any]:
        """What every answer and every chunk begins with."""
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model.model_id,
            "system_fingerprint": self.model.digest,
        }


Choice = Callable[[str | None, str | None], dict[str, Any]]
"""One choice of a chunk from its piece of text and its finish reason."""


def router(deps: Deps) -> APIRouter:
    """Routes of the language model."""
    routes = APIRouter(tags=["text"])
    refusals = responses(404, 408, 409, 413, 415, 422, 503, 504)

    @routes.post(
        "/v1/chat/completions",
        summary="Answer a conversation",
        response_model=None,
        responses={
            200: {
                "model": ChatCompletion,
                "description": "The answer; with `stream`, `chat.completion.chunk`s.",
                "content": EVENT_STREAM_CONTENT,
            },
            **refusals,
        },
    )
    async def chat(body: ChatCompletionRequest, request: Request, tenant: CurrentTenant) -> Response:
        plan = _plan_chat(body, tenant, deps)
        _log_request(request, body, plan, deps)
        if body.stream:
            return await event_stream(request, _chunks(plan, deps, "chat.completion.chunk", _delta, {"role": "assistant", "content": ""}))
        reply = await while_connected(request, _reply(plan, deps))
        message = AssistantMessage(content=reply.text)
        choices = [ChatChoice(message=message, finish_reason=_finish(reply))]
        return _json(
            ChatCompletion(
                **plan.common("chat.completion"),
                choices=choices,
                seed=plan.request.seed,
                usage=_usage(reply),
                ignored_parameters=body.ignored(),
            )
        )

    @routes.post(
        "/v1/completions",
        summary="Continue a text",
        response_model=None,
        responses={
            200: {"model": TextCompletion, "description": "The text; with `stream`, in pieces.", "content": EVENT_STREAM_CONTENT},
            **refusals,
        },
    )
    async def complete(body: CompletionRequest, request: Request, tenant: CurrentTenant) -> Response:
        plan = _plan_text(body, tenant, deps)
        _log_request(request, body, plan, deps)
        before = body.prompt if body.echo else ""
        if body.stream:
            return await event_stream(request, _chunks(plan, deps, "text_completion", _piece, before or None))
        reply = await while_connected(request, _reply(plan, deps))
        choices = [TextChoice(text=before + reply.text, finish_reason=_finish(reply))]
        return _json(TextCompletion(**plan.common("text_completion"), seed=plan.request.seed, choices=choices, usage=_usage(reply)))

    return routes


async def _reply(plan: _Plan, deps: Deps) -> TextReply:
    try:
        async with asyncio.timeout(deps.serving.deadline_s):
            reply = await deps.backend.complete(plan.request, deadline_s=deps.serving.deadline_s, tenant=plan.tenant.queue)
    except TimeoutError:
        raise DeadlineExceeded from None
    except RequestRefused as refused:
        raise _refused(plan, refused) from None
    deps.metrics.count_tokens(reply)
    return reply


async def _chunks(
    plan: _Plan, deps: Deps, kind: str, choice: Callable[[Any, str | None], dict[str, Any]], opening: Any
) -> AsyncGenerator[Event, None]:
    """OpenAI's chunks: `opening` once the model has begun, a chunk a piece, the finish reason, the usage where it is asked for.

    Nothing is sent before the model has begun, so a request that it refuses still gets an HTTP error.
    """

    def chunk(choices: list[dict[str, Any]], usage: Usage | None = None) -> Event:
        tail = {"usage": usage.model_dump() if usage else None} if plan.include_usage else {}
        return Event({**plan.common(kind), "choices": choices, **tail})

    deadline_s = deps.serving.deadline_s
    begun = False
    told = deps.backend.stream_text(plan.request, deadline_s=deadline_s, tenant=plan.tenant.queue)
    try:
        async with contextlib.aclosing(within(deadline_s, told)) as items:
            async for item in items:
                if not begun and opening is not None:
                    yield chunk([choice(opening, None)])
                begun = True
                if isinstance(item, TextReply):
                    deps.metrics.count_tokens(item)
                    yield chunk([choice(None, _finish(item))])
                    if plan.include_usage:
                        yield chunk([], _usage(item))
                elif item:
                    yield chunk([choice(item, None)])
    except RequestRefused as refused:
        raise _refused(plan, refused) from None
    yield Event(DONE)


def _delta(piece: str | dict[str, str] | None, finish_reason: str | None) -> dict[str, Any]:
    delta = {"content": piece} if isinstance(piece, str) else piece or {}
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _piece(piece: str | None, finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": piece or "", "logprobs": None, "finish_reason": finish_reason}


def _plan_chat(body: ChatCompletionRequest, tenant: Tenant, deps: Deps) -> _Plan:
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid("max_tokens", "max_tokens: is the older name of max_completion_tokens; give one of the two")
    messages = tuple(
        # A small model's template knows the older word only.
        {"role": "system" if message.role == "developer" else message.role, "content": message.text()}
        for message in body.messages
    )
    _check_length("messages", sum(len(message["content"]) for message in messages), deps)
    schema = None
    if isinstance(body.response_format, SchemaFormat):
        schema = body.response_format.json_schema.schema_
        check_schema(schema, "response_format.json_schema.schema")
    elif body.response_format is not None and body.response_format.type == "json_object":
        schema = _ANY_OBJECT
    max_tokens = body.max_completion_tokens or body.max_tokens or _DEFAULT_MAX_TOKENS
    return _plan(body, tenant, deps, "messages", "chatcmpl", max_tokens, messages=messages, json_schema=schema)


def _plan_text(body: CompletionRequest, tenant: Tenant, deps: Deps) -> _Plan:
    _check_length("prompt", len(body.prompt), deps)
    return _plan(body, tenant, deps, "prompt", "cmpl", body.max_tokens or 16, messages=(), prompt=body.prompt)


def _plan(body: SamplingRequest, tenant: Tenant, deps: Deps, text_field: str, prefix: str, max_tokens: int, **content: Any) -> _Plan:
    if body.stream_options is not None and not body.stream:
        raise invalid("stream_options", "stream_options: needs stream = true")
    request = TextRequest(
        seed=secrets.randbits(SEED_BITS) if body.seed is None else body.seed,
        max_tokens=max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        stop=body.stops(),
        **content,
    )
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return _Plan(served_model(deps, "text", body.model), tenant, request, text_field, f"{prefix}-{secrets.token_hex(12)}", include_usage)


def _check_length(name: str, num_chars: int, deps: Deps) -> None:
    if num_chars > deps.serving.max_prompt_chars:
        raise invalid(name, f"{name}: has {num_chars} characters, more than {deps.serving.max_prompt_chars}")


def _refused(plan: _Plan, refused: RequestRefused) -> ApiError:
    """400 for what the engine cannot take: a text beyond its context, or a schema without a grammar."""
    reason = refusal(refused)
    # llama.cpp and vLLM, each in its words.
    if "context size" in reason or "context length" in reason:
        return invalid(plan.text_field, f"{plan.text_field}: {reason}", "context_length_exceeded")
    field = plan.text_field if plan.request.json_schema is None else "response_format"
    return invalid(field, f"{field}: {reason}")


def _finish(reply: TextReply) -> Any:
    return "length" if reply.finish_reason == "length" else "stop"


def _usage(reply: TextReply) -> Usage:
    total = reply.prompt_tokens + reply.completion_tokens
    return Usage(prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens, total_tokens=total)


def _json(reply: BaseModel) -> Response:
    return Response(reply.model_dump_json(), media_type="application/json")


def _log_request(request: Request, body: SamplingRequest, plan: _Plan, deps: Deps) -> None:
    request.state.log.update(model=plan.model.model_id, stream=bool(body.stream))
    if deps.serving.log_prompts:
        request.state.log["prompt"] = plan.request.prompt or [message["content"] for message in plan.request.messages]
