"""The image engine on any text-to-image pipeline of diffusers."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.loading import load_pipeline
from synthseg.engines.diffusers.preview import decode_preview, preview_steps
from synthseg.engines.diffusers.prompts import PromptReader
from synthseg.engines.diffusers.schedule import fresh_scheduler
from synthseg.engines.image import SAFE, UNCHECKED, UNWANTED, GeneratedImage, GenerationFailure, ImageRequest, IsWanted, ShowPreview
from synthseg.engines.splitting import SplittingCaller
from synthseg.errors import UsageProblem
from synthseg.ids import canonical_json
from synthseg.image_codec import encode_png

_ENCODERS: Final = 2
"""Threads that write PNGs while the next image is being made."""

OnStep = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
Result = GeneratedImage | GenerationFailure
_Kind = tuple[int, int, str, bool]
"""What requests of one call share: size, settings, and whether they have a negative prompt, since an empty one is not the same as none."""


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    request: ImageRequest
    num_previews: int


@dataclass(frozen=True, slots=True)
class _Picture:
    """Pixels on their way into a PNG; None where they are no numbers."""

    encoded: Future[bytes] | None
    safety: str


class DiffusersEngine:
    """Draws each image from its own request: its own generator, a scheduler without a past, and pixels judged but never blackened.

    One call at a time: pipelines keep state while they work. Requests of one size and one set of parameters, all with a negative prompt
    or all without, share a call unless `images.exact` keeps each to itself.
    """

    def __init__(self, images: ImagesConfig) -> None:
        """UsageProblem for settings that the pipeline cannot work with, the preset's own request included."""
        loaded = load_pipeline(images)
        self.digest = loaded.digest
        self._images = images
        self._pipe = loaded.pipe
        self._signature = loaded.signature
        self._reader = PromptReader(loaded.pipe, images.parameters)
        self._checker = loaded.checker
        self._device = loaded.device
        if self._device.type == "cpu":
            torch.set_num_threads(1)  # sums are split among threads, so another number of them makes other pictures
        self._caller: SplittingCaller[_Job, _Picture] = SplittingCaller(is_out_of_memory, _is_fatal, _free_memory)
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="png")

    def generate(self, requests: Sequence[ImageRequest]) -> list[Result]:
        """One PNG a request, in order. One that the pipeline cannot be asked for fails alone and for good."""
        return self.generate_with_previews(requests, [0] * len(requests), lambda _index, _image: None)

    def generate_with_previews(
        self,
        requests: Sequence[ImageRequest],
        num_previews: Sequence[int],
        show: ShowPreview,
        is_wanted: IsWanted = lambda _: True,
    ) -> list[Result]:
        """As `generate`; previews are the latents of evenly spread steps, decoded small.

        One that is not safe is not shown, and with `images.offload` none is: decoding it would push the network at work off the GPU.
        What nobody wants is not begun, and a call of the pipeline of which nobody wants anything ends at its next step.
        """
        results: dict[int, Result] = {}
        groups: dict[_Kind, list[_Job]] = {}
        arguments: dict[_Kind, Mapping[str, Any]] = {}
        for index, (request, wanted) in enumerate(zip(requests, num_previews, strict=True)):
            try:
                settings = self._signature.arguments(request)
            except UsageProblem as problem:
                results[index] = GenerationFailure(str(problem), retryable=False)
                continue
            kind = (request.width, request.height, canonical_json(settings), bool(request.negative_prompt))
            arguments[kind] = settings
            groups.setdefault(kind, []).append(_Job(index, request, 0 if self._images.offload else wanted))
        pictures: list[tuple[_Job, _Picture | Exception]] = []
        for kind, jobs in groups.items():
            size = 1 if self._images.exact else len(jobs)
            for start in range(0, len(jobs), size):
                batch = [job for job in jobs[start : start + size] if is_wanted(job.index)]
                made = self._caller.run(kind, batch, lambda part, kind=kind: self._call(part, arguments[kind], show, is_wanted))  # type: ignore[misc]
                pictures += zip(batch, made, strict=True)
        for job, picture in pictures:
            # One that is not wanted any more may have been ended halfway.
            results[job.index] = self._result(job.request, picture) if is_wanted(job.index) else UNWANTED
        return [results.get(index, UNWANTED) for index in range(len(requests))]

    def _call(self, jobs: Sequence[_Job], arguments: Mapping[str, Any], show: ShowPreview, is_wanted: IsWanted) -> list[_Picture]:
        """One call of the pipeline."""
        pipe, requests = self._pipe, [job.request for job in jobs]
        # Schedulers count steps and keep past predictions; a fresh one has neither from the call before, finished or not.
        pipe.scheduler = fresh_scheduler(pipe.scheduler)
        extra: dict[str, Any] = {}
        if requests[0].negative_prompt:
            extra["negative_prompt"] = [request.negative_prompt for request in requests]
        if self._signature.takes_previews:
            extra["callback_on_step_end"] = self._watcher(jobs, show, is_wanted)
        # Noise comes from each sample's own generator on the CPU. What a scheduler draws past it is tied to the first sample's seed.
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(requests[0].seed)
            images = pipe(
                prompt=[request.prompt for request in requests],
                width=requests[0].width,
                height=requests[0].height,
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="pt",
                **arguments,
                **extra,
            ).images
        pixels = [_to_bytes(image) for image in images]
        if len(pixels) != len(jobs):
            raise RuntimeError(f"{self._signature.pipeline} made {len(pixels)} images of {len(jobs)} prompts")
        whole = [image for image in pixels if image is not None]
        verdicts = iter(self._checker.verdicts(whole))
        return [
            _Picture(None, UNCHECKED) if image is None else _Picture(self._encoders.submit(encode_png, image), next(verdicts))
            for image in pixels
        ]

    def _watcher(self, jobs: Sequence[_Job], show: ShowPreview, is_wanted: IsWanted) -> OnStep:
        """A callback of the pipeline's that shows previews and ends what nobody waits for. It only reads the latents, so that images stay
        what they are without it.
        """

        def on_step_end(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if not any(is_wanted(job.index) for job in jobs):
                pipe._interrupt = True  # noqa: SLF001 - diffusers' own way; every call begins by taking it back
            for place, job in enumerate(jobs):
                if job.num_previews and step in preview_steps(pipe.num_timesteps, job.num_previews):
                    self._show(job, pipe, tensors["latents"][place : place + 1], show)
            return {}

        return on_step_end

    def _show(self, job: _Job, pipe: Any, latents: Tensor, show: ShowPreview) -> None:
        image = decode_preview(pipe, latents, job.request.width, job.request.height)
        if image is not None and self._checker.verdicts([image])[0] in (SAFE, UNCHECKED):
            show(job.index, GeneratedImage(encode_png(image), job.request.width, job.request.height))

    def _result(self, request: ImageRequest, picture: _Picture | Exception) -> Result:
        size = f"{request.width}x{request.height}"
        if isinstance(picture, Exception):
            if is_out_of_memory(picture):
                return GenerationFailure(f"memory: one image of {size} does not fit on {self._device.type}", retryable=True)
            return GenerationFailure(f"{type(picture).__name__}: {picture}", retryable=False)
        if picture.encoded is None:
            advice = "; set images.dtype = 'bf16' or 'fp32'" if self._images.dtype == "fp16" else ""
            return GenerationFailure(f"pixels: the model made some that are no numbers{advice}", retryable=False)
        cut = sum(self._reader.num_cut(text, request.parameters) for text in (request.prompt, request.negative_prompt) if text)
        return GeneratedImage(picture.encoded.result(), request.width, request.height, picture.safety, cut)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may work where `error` came up."""
    text = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text or "CUBLAS_STATUS_ALLOC_FAILED" in text
    )


def _is_fatal(error: BaseException) -> bool:
    """Whether the device itself is at fault; no later call can succeed in this process."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _to_bytes(image: Tensor | NDArray[np.floating]) -> NDArray[np.uint8] | None:
    """(H, W, 3) bytes of one image (3, H, W) in [0, 1], rounded as diffusers rounds them; None when a pixel is no number."""
    pixels = torch.as_tensor(image).float()
    if not torch.isfinite(pixels).all():
        return None
    return np.asarray((pixels * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy())
