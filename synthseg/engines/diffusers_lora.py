"""A LoRA merged into a pipeline's weights: whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from synthseg.engines.diffusers_outline import LOAD_ERRORS, first_line
from synthseg.errors import UsageProblem

_ADAPTER: Final = "synthseg"
_SHOWN: Final = 3
"""Keys that a message names."""
_LEFT_OUT: Final = "dora_scale"
"""Part of the names of DoRA's magnitudes, which the loaders of diffusers leave out."""


def merge_lora(pipe: Any, path: Path, scale: float) -> None:
    """Add the LoRA's product to the weights, so that it costs nothing at each call and no adapter is left that could be switched.

    UsageProblem, with the keys, when weights of the file are no numbers, fit nothing in the pipeline, or lack their other half. The
    library says so in a warning at most.
    """
    name = type(pipe).__name__
    if not hasattr(pipe, "load_lora_weights"):
        raise UsageProblem(f"images.lora: {name} takes no LoRA; leave it empty")
    in_file = load_file(path)
    _refuse(path, "holds weights that are no numbers", [key for key, value in in_file.items() if not _is_finite(value)])
    _refuse(path, "is a DoRA, of which diffusers reads a part only", [key for key in in_file if _LEFT_OUT in key])
    weights: dict[str, Tensor] = {}
    try:
        with _noting(pipe, weights):
            pipe.load_lora_weights(str(path), adapter_name=_ADAPTER, local_files_only=True)
    except (*LOAD_ERRORS, LookupError) as error:
        raise UsageProblem(f"images.lora: {path} does not fit {name} ({first_line(error)})") from error
    adapted = [part for part, adapters in pipe.get_list_adapters().items() if _ADAPTER in adapters]
    unused, unfilled = _mismatches(weights, dict(_adapter_parameters(pipe)))
    _refuse(path, f"holds weights that fit nothing in {name}", unused)
    _refuse(path, "lacks the other half of weights that it holds", unfilled)
    if not adapted:
        raise UsageProblem(f"images.lora: {path} has no weight that fits {name}")
    try:
        pipe.fuse_lora(components=adapted, lora_scale=scale, adapter_names=[_ADAPTER], safe_fusing=True)
    except ValueError as error:
        raise UsageProblem(f"images.lora_scale: {path} times {scale:g} makes weights that are no numbers; lower it") from error
    pipe.unload_lora_weights()


@contextlib.contextmanager
def _noting(pipe: Any, weights: dict[str, Tensor]) -> Iterator[None]:
    """Note what the pipeline's own conversion makes of a file: the weights under diffusers' names, before any of them is passed over."""
    convert = pipe.lora_state_dict

    def noting(*arguments: Any, **settings: Any) -> Any:
        made = convert(*arguments, **settings)
        weights.update(made[0] if isinstance(made, tuple) else made)
        return made

    pipe.lora_state_dict = noting
    try:
        yield
    finally:
        del pipe.lora_state_dict


def _adapter_parameters(pipe: Any) -> Iterator[tuple[str, Tensor]]:
    """Every weight that loading has put into the networks, by component and name."""
    for component, part in pipe.components.items():
        if isinstance(part, nn.Module):
            for name, parameter in part.named_parameters():
                if _ADAPTER in name.split("."):
                    yield f"{component}.{name.replace(f'.{_ADAPTER}', '')}", parameter.detach()


def _mismatches(weights: dict[str, Tensor], parameters: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Names of `weights` that are in no parameter, and of parameters that hold none of them.

    Compared by value: names are changed on the way, by each family in its own way. Scalars are scales, not weights.
    """
    dtypes = {parameter.dtype for parameter in parameters.values()}
    filled = {_fingerprint(parameter, parameter.dtype) for parameter in parameters.values()}
    marks = {name: {_fingerprint(value, dtype) for dtype in dtypes} for name, value in weights.items() if value.ndim}
    given = set().union(*marks.values()) if marks else set()
    unused = [name for name, found in marks.items() if not found & filled]
    return unused, [name for name, parameter in parameters.items() if _fingerprint(parameter, parameter.dtype) not in given]


def _fingerprint(tensor: Tensor, dtype: torch.dtype) -> tuple[tuple[int, ...], bytes]:
    """Shape and content as `dtype`; no content where there is no memory behind it, as for a weight that loading did not fill."""
    if tensor.is_meta:
        return tuple(tensor.shape), b""
    content = tensor.to("cpu", dtype).contiguous().view(torch.uint8).numpy()
    return tuple(tensor.shape), hashlib.sha256(content).digest()


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value.float()).all())


def _refuse(path: Path, fault: str, keys: Sequence[str]) -> None:
    if keys:
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        raise UsageProblem(f"images.lora: {path} {fault}: {', '.join(keys[:_SHOWN])}{more}")
