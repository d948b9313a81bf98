"""What a text-to-image pipeline can be asked for: read off the signature of its call, checked before the call."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError

from synthseg.engines.image import ImageRequest
from synthseg.errors import UsageProblem

STEPS: Final = "steps"
_ARGUMENT_OF: Final[Mapping[str, str]] = {STEPS: "num_inference_steps"}
"""Our names where they differ from diffusers'."""
_OURS: Final = ("width", "height", "num_images_per_prompt", "output_type", "return_dict")
"""Arguments that the engine decides."""
_PLAIN: Final = (int, float, bool, str, type(None))


@dataclass(frozen=True, slots=True)
class CallSignature:
    """The settings a pipeline takes with each request."""

    pipeline: str
    types: Mapping[str, Any]
    """Type of each engine parameter, by our name."""
    takes_negative_prompt: bool
    has_true_guidance: bool
    """Guidance that needs a second pass (`true_cfg_scale`) beside the distilled one; only the former reads a negative prompt."""
    takes_previews: bool

    @classmethod
    def of(cls, pipeline_class: type) -> CallSignature:
        """The signature of `pipeline_class`. UsageProblem when it makes no image from a prompt alone."""
        arguments = dict(inspect.signature(pipeline_class.__call__).parameters)
        name = pipeline_class.__name__
        if not {"prompt", "generator", "width", "height"} <= arguments.keys() or any(
            needed in arguments and arguments[needed].default is inspect.Parameter.empty
            for needed in ("image", "mask_image", "control_image")
        ):
            raise UsageProblem(f"images.model: {name} does not turn a prompt into an image; name a text-to-image pipeline")
        ours = {argument: ours for ours, argument in _ARGUMENT_OF.items()}
        plain = {ours.get(key, key): parameter.annotation for key, parameter in arguments.items() if _is_setting(key, parameter)}
        return cls(name, plain, "negative_prompt" in arguments, "true_cfg_scale" in arguments, "callback_on_step_end" in arguments)

    def arguments(self, request: ImageRequest, side_multiple: int = 1) -> dict[str, Any]:
        """Keyword arguments for what a batch shares (size and settings). UsageProblem names the field that cannot be."""
        for field in ("width", "height"):
            side = getattr(request, field)
            if side < side_multiple or side % side_multiple:
                raise UsageProblem(f"{field}: must be a multiple of {side_multiple} pixels for {self.pipeline}, not {side}")
        found = {_ARGUMENT_OF.get(name, name): self._value(name, value) for name, value in request.parameters.items()}
        if request.negative_prompt:
            self._check_negative_prompt(request.parameters)
        return found

    def _value(self, name: str, value: Any) -> Any:
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
        return checked

    def _check_negative_prompt(self, parameters: Mapping[str, Any]) -> None:
        """A negative prompt that the pipeline would pass over in silence is refused."""
        if not self.takes_negative_prompt:
            raise UsageProblem(f"negative_prompt: {self.pipeline} takes none; leave it empty")
        if self.has_true_guidance and parameters.get("true_cfg_scale", 1) <= 1:
            raise UsageProblem(f"negative_prompt: {self.pipeline} reads it only with true_cfg_scale above 1; leave it empty")
        if not self.has_true_guidance and parameters.get("guidance_scale") == 0:
            raise UsageProblem(f"negative_prompt: {self.pipeline} reads none with guidance_scale = 0; leave it empty")


def _is_setting(name: str, parameter: inspect.Parameter) -> bool:
    """Whether an argument is a plain setting, neither an input of another kind nor a thing of the engine's own."""
    if name == "self" or name in _OURS or "prompt" in name or name.startswith("callback"):
        return False
    return parameter.kind is not inspect.Parameter.VAR_KEYWORD and _is_plain(parameter.annotation)


def _is_plain(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (list, tuple, Union, types.UnionType):
        return all(_is_plain(part) for part in typing.get_args(annotation) if part is not ...)
    return annotation in _PLAIN
