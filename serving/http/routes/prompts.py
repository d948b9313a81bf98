"""`POST /v1/prompts`: the agent's prompts for a class, all at once or as they are found."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from serving.agent.results import FoundPrompt
from serving.http.deps import CurrentTenant, Deps
from serving.http.errors import invalid, responses
from serving.http.schemas import WHOLE, RequestModel, Seed
from serving.http.streams import EVENT_STREAM_CONTENT, Event, event_stream, while_connected, within
from serving.state.keys import Tenant
from synthseg.errors import UsageProblem
from synthseg.ids import SEED_BITS
from synthseg.taxonomy import taxonomy

_FOUND: Final = "prompt.found"
_COMPLETED: Final = "prompts.completed"


class PromptsRequest(RequestModel):
    """Body of `POST /v1/prompts`."""

    class_name: str = Field(min_length=1, max_length=64, description="A class of the served taxonomy, by either of its names.")
    count: Annotated[int, Field(ge=1, le=64), WHOLE] | None = Field(4, description="Prompts wanted; the agent may end with fewer.")
    seed: Seed | None = Field(None, description="Drawn, and returned, when not given.")
    stream: bool | None = Field(False, description="Answer with an event for each prompt as its round ends.")


class AcceptedPrompt(BaseModel):
    """A prompt that the agent accepted, with its scores."""

    text: str
    class_name: str
    round: int
    quality: float
    class_similarity: float
    """Cosine between prompt and class."""
    neighbour_similarity: float
    """Cosine to the nearest prompt accepted before it; -1 for the first."""


class PromptsReply(BaseModel):
    """Answer of `POST /v1/prompts`."""

    object: Literal["list"] = "list"
    class_name: str
    """Canonical name."""
    seed: int
    count: int
    """Prompts asked for; `data` may hold fewer."""
    data: list[AcceptedPrompt]


def router(deps: Deps) -> APIRouter:
    """Routes of the prompt agent."""
    routes = APIRouter(tags=["prompts"])

    @routes.post(
        "/v1/prompts",
        summary="Find prompts for a class",
        response_model=None,
        responses={
            200: {
                "model": PromptsReply,
                "description": f"The prompts; with `stream`, an event `{_FOUND}` for each and `{_COMPLETED}` at the end.",
                "content": EVENT_STREAM_CONTENT,
            },
            **responses(408, 409, 413, 415, 422, 503, 504),
        },
    )
    async def find(body: PromptsRequest, request: Request, tenant: CurrentTenant) -> Response:
        name = _class_name(body.class_name, deps)
        count = body.count or 4
        seed = secrets.randbits(SEED_BITS) if body.seed is None else body.seed
        request.state.log.update(class_name=name, count=count, stream=bool(body.stream))
        found = _found(deps, tenant, name, count, seed)
        if body.stream:
            return await event_stream(request, _events(found, name, count, seed))
        data = await while_connected(request, _collected(found))
        reply = PromptsReply(class_name=name, seed=seed, count=count, data=data)
        return Response(reply.model_dump_json(), media_type="application/json")

    return routes


async def _found(deps: Deps, tenant: Tenant, class_name: str, count: int, seed: int) -> AsyncGenerator[FoundPrompt, None]:
    """The agent's prompts, at most `count`: it finishes its rounds and may accept more."""
    deadline_s = deps.serving.deadline_s
    num_found = 0
    prompts = deps.backend.find_prompts(class_name, count, seed, deadline_s=deadline_s, tenant=tenant.queue)
    async with contextlib.aclosing(within(deadline_s, prompts)) as timed:
        async for prompt in timed:
            deps.metrics.prompts.inc()
            yield prompt
            num_found += 1
            if num_found == count:
                return


async def _collected(found: AsyncGenerator[FoundPrompt, None]) -> list[AcceptedPrompt]:
    async with contextlib.aclosing(found):
        return [_accepted(prompt) async for prompt in found]


async def _events(found: AsyncGenerator[FoundPrompt, None], class_name: str, count: int, seed: int) -> AsyncGenerator[Event, None]:
    num_found = 0
    async with contextlib.aclosing(found):
        async for prompt in found:
            yield Event({"type": _FOUND, "index": num_found, **_accepted(prompt).model_dump()}, _FOUND)
            num_found += 1
    yield Event({"type": _COMPLETED, "class_name": class_name, "seed": seed, "count": count, "found": num_found}, _COMPLETED)


def _accepted(prompt: FoundPrompt) -> AcceptedPrompt:
    return AcceptedPrompt(**asdict(prompt))


def _class_name(name: str, deps: Deps) -> str:
    try:
        return taxonomy(deps.config.taxonomy).select([name])[0].name
    except UsageProblem as problem:
        raise invalid("class_name", f"class_name: {str(problem).partition(': ')[2]}") from None
