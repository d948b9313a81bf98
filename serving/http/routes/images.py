"""`POST /v1/images/generations`: prompt to images, at once or as a stream of events."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.http.address import base_url
from serving.http.contracts import DeadlineExceeded, EngineUnavailable, ImageEvent, Overloaded
from serving.http.deps import CurrentTenant, Deps
from serving.http.errors import ApiError, invalid, responses
from serving.http.image_usage import image_usage
from serving.http.models import served_model
from serving.http.pictures import MEDIA_TYPES, convert
from serving.http.schemas import ImageData, ImageGenerationReply, ImageGenerationRequest, OutputFormat
from serving.http.streams import EVENT_STREAM_CONTENT, Event, before, event_stream, while_connected, within
from serving.state.keys import Tenant
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.errors import UsageProblem
from synthseg.ids import SEED_BITS, derive_seed, image_sha256
from synthseg.taxonomy import taxonomy

SCORE_WAIT_S: Final = 5.0
"""A figure that takes longer is left out."""
_LOSSLESS: Final = 100
_URL_BY_DEFAULT: Final = "dall-e-"
_IGNORED: Final = ("quality", "style", "complexity", "background", "moderation", "user", "safety_identifier")
"""Parameters of OpenAI's API that every client may send and no engine here has a use for."""
_FIELD_OF: Final[Mapping[str, str]] = {
    "prompt": "prompt",
    "width": "size",
    "height": "size",
    "negative_prompt": "negative_prompt",
    "steps": "steps",
    "guidance_scale": "guidance_scale",
    "guidance_rescale": "guidance_scale",
}
"""Field of the request behind each name that an engine's error may begin with."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request that has passed every check."""

    model: str
    prompt: str
    revised_prompt: str | None
    refine_note: str | None
    num_images: int
    seed: int
    width: int
    height: int
    negative_prompt: str
    parameters: Mapping[str, Any]
    ignored: list[str]
    class_names: list[str] | None
    output_format: OutputFormat
    compression: int | None
    as_bytes: bool
    as_url: bool
    previews: int
    score: bool
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def size(self) -> str:
        """WIDTHxHEIGHT."""
        return f"{self.width}x{self.height}"

    def seed_of(self, index: int) -> int:
        """The first image has the request's own seed, so that a lone image equals the batch run's."""
        return self.seed if index == 0 else derive_seed("image", self.seed, index)

    def requests(self) -> list[ImageRequest]:
        """One engine request an image."""
        return [
            ImageRequest(self.prompt, self.seed_of(i), self.width, self.height, self.negative_prompt, self.parameters)
            for i in range(self.num_images)
        ]


def router(deps: Deps) -> APIRouter:
    """Routes under /v1/images."""
    routes = APIRouter(tags=["images"])

    @routes.post(
        "/v1/images/generations",
        summary="Paint a prompt",
        response_model=None,
        responses={
            200: {
                "model": ImageGenerationReply,
                "description": "The images; with `stream`, events `image_generation.partial_image` and `image_generation.completed`.",
                "content": EVENT_STREAM_CONTENT,
            },
            **responses(404, 408, 409, 413, 415, 422, 503, 504),
        },
    )
    async def generate(body: ImageGenerationRequest, request: Request, tenant: CurrentTenant) -> Response:
        plan = _check(body, deps)
        _log_request(request, body, plan, deps)
        if body.stream:
            return await event_stream(request, _stream(plan, body, request, tenant, deps))
        reply = await while_connected(request, _answer(plan, body, request, tenant, deps))
        return Response(reply.model_dump_json(exclude_none=True), media_type="application/json")

    return routes


async def _answer(plan: _Plan, body: ImageGenerationRequest, request: Request, tenant: Tenant, deps: Deps) -> ImageGenerationReply:
    """All images in one answer."""
    data: dict[int, ImageData] = {}
    async with contextlib.aclosing(_painted(plan, body, request, tenant, deps)) as painted:
        async for final_plan, event in painted:
            plan = final_plan
            if event.final:
                data[event.index] = await _deliver(plan, event, request, tenant, deps)
    if all(image.sha256 is None for image in data.values()):
        raise invalid("prompt", f"prompt: every image was withheld as {data[0].safety}", "content_policy_violation")
    return ImageGenerationReply(
        created=plan.created,
        model=plan.model,
        size=plan.size,
        output_format=plan.output_format,
        seed=plan.seed,
        class_names=plan.class_names,
        ignored_parameters=plan.ignored,
        refine_note=plan.refine_note,
        usage=image_usage(plan.prompt, plan.width, plan.height, num_images=len(data)),
        data=[data[index] for index in sorted(data)],
    )


async def _stream(plan: _Plan, body: ImageGenerationRequest, request: Request, tenant: Tenant, deps: Deps) -> AsyncGenerator[Event, None]:
    """OpenAI's image events; `image_index` says which image of the request each is about."""
    previews = [0] * plan.num_images
    async with contextlib.aclosing(_painted(plan, body, request, tenant, deps)) as painted:
        async for final_plan, event in painted:
            common = {
                "created_at": final_plan.created,
                "size": final_plan.size,
                "quality": "auto",
                "background": "opaque",
                "output_format": final_plan.output_format,
                "image_index": event.index,
            }
            if event.final:
                image = await _deliver(final_plan, event, request, tenant, deps)
                usage = image_usage(final_plan.prompt, final_plan.width, final_plan.height, num_images=1)
                extra = {"model": final_plan.model, "ignored_parameters": final_plan.ignored, "usage": usage.model_dump()}
                kind = "image_generation.completed"
                yield Event({"type": kind, **common, **extra, **image.model_dump(exclude_none=True)}, kind)
            elif isinstance(event.result, GeneratedImage):
                encoded = await _encode(final_plan, event.result)
                kind = "image_generation.partial_image"
                yield Event({"type": kind, **common, "partial_image_index": previews[event.index], "b64_json": _base64(encoded)}, kind)
                previews[event.index] += 1


async def _painted(
    plan: _Plan, body: ImageGenerationRequest, request: Request, tenant: Tenant, deps: Deps
) -> AsyncGenerator[tuple[_Plan, ImageEvent], None]:
    """The engine's events with the plan that holds after refinement. The first failure ends the request.

    What the images will cost is reserved before anything is done, and settled however it ends: an image by its engine time, one that
    was given up after a preview, which may show as much, by the estimate.
    """
    deadline = asyncio.get_running_loop().time() + deps.serving.deadline_s
    num_pixels = plan.width * plan.height
    estimate_s = deps.limits.estimate_s(num_pixels)
    reserved_s = estimate_s * plan.num_images
    await deps.limits.reserve_images(tenant, reserved_s, request.state.headers)
    engine_s = 0.0
    shown: set[int] = set()
    try:
        if body.refine:
            plan = await _refined(plan, tenant, deps)
        remaining_s = max(deadline - asyncio.get_running_loop().time(), 0.0)
        events = deps.backend.images(plan.requests(), previews=plan.previews, deadline_s=remaining_s, tenant=tenant.queue)
        async with contextlib.aclosing(within(remaining_s, events)) as timed:
            async for event in timed:
                if event.final:
                    engine_s += event.engine_s
                    shown.discard(event.index)
                    deps.metrics.images.labels(plan.model, _outcome(event)).inc()
                else:
                    shown.add(event.index)
                if isinstance(event.result, GenerationFailure):
                    raise _failure(event.result)
                if event.final:
                    deps.limits.learn(num_pixels, event.engine_s)
                yield plan, event
    finally:
        deps.metrics.image_seconds.labels(plan.model).inc(engine_s)
        request.state.log["engine_s"] = round(engine_s, 4)
        await asyncio.shield(deps.limits.settle_images(tenant, reserved_s, engine_s + estimate_s * len(shown)))


async def _refined(plan: _Plan, tenant: Tenant, deps: Deps) -> _Plan:
    """The plan with the agent's wording of its prompt."""
    deadline_s = deps.serving.deadline_s
    refining = deps.backend.refine(plan.prompt, plan.class_names or (), plan.seed, deadline_s=deadline_s, tenant=tenant.queue)
    found = await before(deadline_s, refining)
    return replace(plan, prompt=found.text, revised_prompt=found.text, refine_note=found.reason or None)


async def _deliver(plan: _Plan, event: ImageEvent, request: Request, tenant: Tenant, deps: Deps) -> ImageData:
    """The image as the client wants it; one that is not safe stays here."""
    image = event.result
    if not isinstance(image, GeneratedImage):
        raise TypeError(image)
    cut_tokens = image.cut_tokens or None
    data = ImageData(revised_prompt=plan.revised_prompt, seed=plan.seed_of(event.index), safety=image.safety, cut_tokens=cut_tokens)
    if image.is_withheld:
        return data
    scoring = asyncio.ensure_future(_score(plan, image, deps)) if plan.score else None
    try:
        encoded = await _encode(plan, image)
        data.clip_score = await scoring if scoring else None
    finally:
        if scoring:
            scoring.cancel()
    data.sha256 = image_sha256(encoded)
    if plan.as_url:
        file_id = await deps.files.put(tenant.tenant_id, encoded, MEDIA_TYPES[plan.output_format])
        data.url = f"{base_url(request, deps.serving)}/v1/files/{file_id}"
    if plan.as_bytes:
        data.b64_json = _base64(encoded)
    return data


async def _score(plan: _Plan, image: GeneratedImage, deps: Deps) -> float | None:
    """The picture's CLIP score; None where the scorer has no time for it: a picture that is painted waits for no figure about it."""
    try:
        async with asyncio.timeout(SCORE_WAIT_S):
            return round(await deps.backend.score(plan.prompt, image.encoded, deadline_s=SCORE_WAIT_S), 4)
    except (TimeoutError, Overloaded, EngineUnavailable, DeadlineExceeded):
        return None


async def _encode(plan: _Plan, image: GeneratedImage) -> bytes:
    if plan.output_format == "png":
        return convert(image.encoded, "png", None)
    return await asyncio.to_thread(convert, image.encoded, plan.output_format, plan.compression)


def _check(body: ImageGenerationRequest, deps: Deps) -> _Plan:
    """Everything the schema cannot tell. ApiError 400 or 404 naming the field."""
    config = deps.config
    for name in ("prompt", "negative_prompt"):
        if len(getattr(body, name) or "") > config.serving.max_prompt_chars:
            raise invalid(name, f"{name}: is longer than {config.serving.max_prompt_chars} characters")
    if body.partial_images and not body.stream:
        raise invalid("partial_images", "partial_images: needs stream = true")
    output_format = body.output_format or "png"
    if body.output_compression not in (None, _LOSSLESS) and output_format == "png":
        raise invalid("output_compression", "output_compression: png loses nothing; choose webp or jpeg, or leave it out")
    width, height = _size(body.size or "auto", config)
    parameters, ignored = _parameters(body, config)
    as_bytes, as_url = _delivery(body)
    return _Plan(
        model=served_model(deps, "image", body.model).model_id,
        prompt=body.prompt,
        revised_prompt=None,
        refine_note=None,
        num_images=body.n or 1,
        seed=secrets.randbits(SEED_BITS) if body.seed is None else body.seed,
        width=width,
        height=height,
        negative_prompt=config.images.negative_prompt if body.negative_prompt is None else body.negative_prompt,
        parameters=parameters,
        ignored=ignored,
        class_names=_class_names(body.class_names, config),
        output_format=output_format,
        compression=body.output_compression,
        as_bytes=as_bytes,
        as_url=as_url,
        previews=body.partial_images or 0,
        score=bool(body.score),
    )


def _delivery(body: ImageGenerationRequest) -> tuple[bool, bool]:
    """Whether an image comes as bytes, and whether as a URL. OpenAI's dall-e models give a URL unless they are asked for bytes, and their
    clients (LangChain's among them) read it without asking; those of the later models read bytes. Without a wish, such a name gets both.
    """
    if body.response_format is None and not body.stream and (body.model or "").startswith(_URL_BY_DEFAULT):
        return True, True
    return body.response_format != "url", body.response_format == "url"


def _size(size: str, config: RunConfig) -> tuple[int, int]:
    """Width and height in pixels."""
    if size == "auto":
        return config.images.width, config.images.height
    serving = config.serving
    if serving.sizes and size not in serving.sizes:
        raise invalid("size", f"size: '{size}' is not one of {', '.join(serving.sizes)}")
    width, height = (int(side) for side in size.split("x"))
    if not (serving.min_side_px <= min(width, height) and max(width, height) <= serving.max_side_px):
        raise invalid("size", f"size: sides must be {serving.min_side_px} to {serving.max_side_px} pixels, not {size}")
    if width * height > serving.max_pixels:
        raise invalid("size", f"size: {size} has more than {serving.max_pixels} pixels")
    return width, height


def _parameters(body: ImageGenerationRequest, config: RunConfig) -> tuple[dict[str, Any], list[str]]:
    """Parameters for the engine, and the names of those that change nothing. The painter has neither steps nor guidance."""
    given = {name: value for name in ("steps", "guidance_scale") if (value := getattr(body, name)) is not None}
    ignored = [name for name in _IGNORED if getattr(body, name) is not None]
    if config.images.engine == "painter":
        return dict(config.images.parameters), [*given, *ignored]
    return {**config.images.parameters, **given}, ignored


def _class_names(names: list[str] | None, config: RunConfig) -> list[str] | None:
    if not names:
        return None
    try:
        return [info.name for info in taxonomy(config.taxonomy).select(names)]
    except UsageProblem as problem:
        raise invalid("class_names", f"class_names: {problem}") from None


def _failure(failure: GenerationFailure) -> ApiError:
    if failure.retryable:
        message = f"The engine failed: {failure.error}"
        return ApiError(503, message, code="engine_failed", kind="server_error", headers={"retry-after": "1"})
    param = _FIELD_OF.get(failure.error.partition(":")[0])
    return invalid(param or "prompt", failure.error, "unreadable_prompt" if param in (None, "prompt") else "invalid_value")


def _outcome(event: ImageEvent) -> str:
    if isinstance(event.result, GenerationFailure):
        return "failed"
    return "unsafe" if event.result.is_withheld else "ok"


def _log_request(request: Request, body: ImageGenerationRequest, plan: _Plan, deps: Deps) -> None:
    request.state.log.update(model=plan.model, images=plan.num_images, size=plan.size, stream=bool(body.stream))
    if deps.serving.log_prompts:
        request.state.log["prompt"] = plan.prompt


def _base64(encoded: bytes) -> str:
    return base64.b64encode(encoded).decode("ascii")
