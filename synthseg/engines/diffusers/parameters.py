"""What a text-to-image pipeline can be asked for, read off the pipeline itself and checked before its call.

The pipeline may be the loaded one or its outline: a run's start, `doctor` and every request of a replica go through the same checks.
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, Self, Union

from diffusers.pipelines.auto_pipeline import AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, AUTO_INPAINT_PIPELINES_MAPPING
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING as TEXT2IMAGE
from pydantic import ConfigDict, TypeAdapter, ValidationError

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.outline import num_layers
from synthseg.engines.diffusers.schedule import STEPS, check_schedule, reads_eta
from synthseg.engines.image import ImageRequest
from synthseg.errors import UsageProblem

_ARGUMENT_OF: Final[Mapping[str, str]] = {STEPS: "num_inference_steps"}
"""Our names where they differ from diffusers'."""
_OURS: Final = ("width", "height", "num_images_per_prompt", "output_type", "return_dict")
"""Arguments that the engine decides."""
_PLAIN: Final = (int, float, bool, str, type(None))
_OF_OTHER_INPUT: Final = ("mask_image", "control_image", "strength")
"""Arguments of pipelines that begin from an image, whatever default they have for it."""
_OTHER_NETWORKS: Final = ("controlnet", "adapter")
"""Networks whose input is an image."""
_GUIDANCE: Final = "guidance_scale"
_TRUE_GUIDANCE: Final = "true_cfg_scale"
_HIGH_GUIDANCE: Final = 1e3
_FIELDS: Final = ("width", "height", "negative_prompt")
"""Names in messages that are fields of a request; all others are parameters."""


class CallSignature:
    """The settings that one pipeline takes with each request."""

    def __init__(self, pipe: Any) -> None:
        """UsageProblem when `pipe` makes no image from a prompt alone."""
        check_class(type(pipe))
        _check_channels(pipe)
        arguments = inspect.signature(type(pipe).__call__).parameters
        ours = {argument: ours for ours, argument in _ARGUMENT_OF.items()}
        settings = {ours.get(name, name): parameter for name, parameter in arguments.items() if _is_setting(name, parameter)}
        self.pipeline = type(pipe).__name__
        self.types: Mapping[str, Any] = {name: parameter.annotation for name, parameter in settings.items()}
        self.takes_negative_prompt = "negative_prompt" in arguments
        self.takes_previews = "callback_on_step_end" in arguments
        self.side_multiple = side_multiple(pipe)
        self._defaults = {name: parameter.default for name, parameter in settings.items()}
        self._pipe = pipe
        self._max_clip_skip = _max_clip_skip(pipe)

    @classmethod
    def of(cls, pipe: Any) -> Self:
        """The signature of a pipeline, loaded or in outline."""
        return cls(pipe)

    def check(self, images: ImagesConfig) -> None:
        """UsageProblem when the pipeline cannot be asked for what the configuration asks for in every request."""
        request = ImageRequest("", 0, images.width, images.height, images.negative_prompt, images.parameters)
        try:
            self.arguments(request)
        except UsageProblem as problem:
            is_field = str(problem).partition(":")[0] in _FIELDS
            raise UsageProblem(("images." if is_field else "images.parameters.") + str(problem)) from None

    def arguments(self, request: ImageRequest) -> dict[str, Any]:
        """Keyword arguments for what a batch shares (size and settings). UsageProblem names the field that cannot be."""
        for field in ("width", "height"):
            side = getattr(request, field)
            if side < self.side_multiple or side % self.side_multiple:
                raise UsageProblem(f"{field}: must be a multiple of {self.side_multiple} pixels for {self.pipeline}, not {side}")
        settings = {name: self._value(name, value) for name, value in request.parameters.items()}
        self._check_unread(settings)
        check_schedule(self._pipe.scheduler, settings, self._defaults.get(STEPS))
        if request.negative_prompt:
            self._check_negative_prompt(settings)
        return {_ARGUMENT_OF.get(name, name): value for name, value in settings.items()}

    def _value(self, name: str, value: Any) -> Any:
        """The value as the pipeline takes it."""
        if name not in self.types:
            near = difflib.get_close_matches(name, self.types, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(sorted(self.types))}"
            raise UsageProblem(f"{name}: {self.pipeline} takes no such parameter; {hint}")
        try:
            checked = TypeAdapter(self.types[name], config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
        except ValidationError:
            kind = inspect.formatannotation(self.types[name])
            raise UsageProblem(f"{name}: {self.pipeline} takes {kind}, not {value!r}") from None
        if name == STEPS and (checked is None or checked < 1):
            raise UsageProblem(f"{name}: must be at least 1, not {value!r}")
        if isinstance(checked, float) and not math.isfinite(checked):
            raise UsageProblem(f"{name}: must be a finite number, not {value!r}")
        if isinstance(checked, list | tuple) and not checked:
            raise UsageProblem(f"{name}: must not be empty; leave it out")
        if name == "clip_skip" and checked is not None and self._max_clip_skip and not 0 <= checked <= self._max_clip_skip:
            raise UsageProblem(f"{name}: {self.pipeline} can skip 0 to {self._max_clip_skip} layers of its text encoder, not {checked}")
        return checked

    def _check_unread(self, settings: Mapping[str, Any]) -> None:
        """A setting that the pipeline would pass over in silence is refused, unless it is the default, which changes nothing."""
        changed = {name for name, value in settings.items() if value != self._defaults[name]}
        if "eta" in changed and hasattr(self._pipe, "prepare_extra_step_kwargs") and not reads_eta(self._pipe.scheduler):
            scheduler = type(self._pipe.scheduler).__name__
            raise UsageProblem(f"eta: {scheduler} reads none; leave it out, or choose a scheduler that does, such as DDIMScheduler")
        if "guidance_rescale" in changed and not self._guides(settings):
            raise UsageProblem(f"guidance_rescale: {self.pipeline} reads none {self._without_guidance(settings, 'leave it out')}")

    def _check_negative_prompt(self, settings: Mapping[str, Any]) -> None:
        """A negative prompt that the pipeline would pass over in silence is refused."""
        if not self.takes_negative_prompt:
            raise UsageProblem(f"negative_prompt: {self.pipeline} takes none; leave it empty")
        if not self._guides(settings):
            if _TRUE_GUIDANCE in self.types:
                raise UsageProblem(f"negative_prompt: {self.pipeline} reads it only with {_TRUE_GUIDANCE} above 1; leave it empty")
            raise UsageProblem(f"negative_prompt: {self.pipeline} reads none {self._without_guidance(settings, 'leave it empty')}")

    def _without_guidance(self, settings: Mapping[str, Any], way_out: str) -> str:
        """Why there is none, and what to do."""
        if not self._guides({**settings, _GUIDANCE: _HIGH_GUIDANCE}):
            return f"with this model, whose guidance is built in, whatever guidance_scale is; {way_out}"
        return f"with guidance_scale = {settings.get(_GUIDANCE, self._defaults.get(_GUIDANCE))}; raise guidance_scale or {way_out}"

    def _guides(self, settings: Mapping[str, Any]) -> bool:
        """Whether a call with `settings` makes the second pass that reads a negative prompt."""
        if _TRUE_GUIDANCE in self.types:
            return bool((settings.get(_TRUE_GUIDANCE, self._defaults[_TRUE_GUIDANCE]) or 0) > 1)
        if _GUIDANCE not in self.types:
            return True
        scale = settings.get(_GUIDANCE, self._defaults[_GUIDANCE])
        if scale is None:  # the pipeline's own, which is not known here
            return True
        if isinstance(getattr(type(self._pipe), "do_classifier_free_guidance", None), property):
            self._pipe._guidance_scale = scale  # noqa: SLF001 - as its call does first of all, and the property reads it
            return bool(self._pipe.do_classifier_free_guidance)
        return bool(scale > 1)  # what pipelines without the property compute inside their call


def check_class(pipeline: type) -> None:
    """UsageProblem when no image comes of a prompt alone: pipelines for inpainting, from image to image, under control, for video."""
    arguments = inspect.signature(pipeline.__call__).parameters
    networks = inspect.signature(pipeline).parameters
    from_image = {*AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.values(), *AUTO_INPAINT_PIPELINES_MAPPING.values()} - {*TEXT2IMAGE.values()}
    if (
        not {"prompt", "generator", "width", "height"} <= arguments.keys()
        or pipeline in from_image
        or any(name in arguments for name in _OF_OTHER_INPUT)
        or any(name in networks for name in _OTHER_NETWORKS)
        or ("image" in arguments and arguments["image"].default is inspect.Parameter.empty)
    ):
        raise UsageProblem(f"images.model: {pipeline.__name__} does not turn a prompt into an image; name a text-to-image pipeline")


def side_multiple(pipe: Any) -> int:
    """Sides of this pipeline's images are multiples of this many pixels: the stride of its latents times that of its patches; 1 where it
    draws pixels themselves.
    """
    processor = getattr(getattr(pipe, "image_processor", None), "config", None)
    factor: Any = getattr(processor, "vae_scale_factor", None) or getattr(pipe, "vae_scale_factor", 1)
    patch: int = getattr(pipe, "patch_size", 1)  # of pipelines whose image processor leaves it out
    return int(factor) * patch


def _check_channels(pipe: Any) -> None:
    """A U-Net that reads more than the latents (inpainting: 9 channels, editing: 8) wants an image besides the prompt."""
    takes = getattr(getattr(getattr(pipe, "unet", None), "config", None), "in_channels", None)
    latents = getattr(getattr(getattr(pipe, "vae", None), "config", None), "latent_channels", None)
    if takes is not None and latents is not None and takes != latents:
        raise UsageProblem(
            f"images.model: its U-Net reads {takes} channels where latents have {latents}, so it needs an image besides the prompt; "
            "name a text-to-image model"
        )


def _max_clip_skip(pipe: Any) -> int:
    """Layers of CLIP that can be skipped so that one is left in each text encoder; 0 where there is no CLIP."""
    encoders = [part.config for name, part in pipe.components.items() if name.startswith("text_encoder") and part is not None]
    layers = [num_layers(config) for config in encoders if str(getattr(config, "model_type", "")).startswith("clip")]
    return max(min(layers, default=1) - 1, 0)


def _is_setting(name: str, parameter: inspect.Parameter) -> bool:
    """Whether an argument is a plain setting, neither an input of another kind nor a thing of the engine's own."""
    if name == "self" or name in _OURS or "prompt" in name or name.startswith("callback"):
        return False
    return parameter.kind is not inspect.Parameter.VAR_KEYWORD and _is_plain(parameter.annotation)


def _is_plain(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (list, tuple, Union, types.UnionType):
        return all(_is_plain(part) for part in typing.get_args(annotation) if part is not ...)
    return annotation in _PLAIN
