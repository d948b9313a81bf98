"""A LoRA merged into a pipeline's weights: whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from synthseg.engines.diffusers.outline import LOAD_ERRORS, first_line
from synthseg.errors import UsageProblem

_ADAPTER: Final = "synthseg"
_SHOWN: Final = 3
"""Keys that a message names."""


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
    weights: dict[str, Tensor] = {}
    left_out: list[str] = []
    try:
        with _noting(pipe, in_file, weights, left_out):
            pipe.load_lora_weights(str(path), adapter_name=_ADAPTER, local_files_only=True)
    except (*LOAD_ERRORS, LookupError) as error:
        raise UsageProblem(f"images.lora: {path} does not fit {name} ({first_line(error)})") from error
    adapted = [part for part, adapters in pipe.get_list_adapters().items() if _ADAPTER in adapters]
    _refuse(path, f"holds weights that diffusers leaves out for {name}", left_out)
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
def _noting(pipe: Any, in_file: dict[str, Tensor], weights: dict[str, Tensor], left_out: list[str]) -> Iterator[None]:
    """Note what the pipeline's own conversion makes of a file, before any of it is passed over: `weights` under diffusers' names, and the
    names in the file of those that it drops.
    """
    convert = pipe.lora_state_dict

    def noting(source: Any, **settings: Any) -> Any:
        left_out.extend(_dropped(in_file, lambda traced: convert(traced, **settings)))
        made = convert(source, **settings)
        weights.update(_converted(made))
        return made

    pipe.lora_state_dict = noting
    try:
        yield
    finally:
        del pipe.lora_state_dict


def _dropped(in_file: dict[str, Tensor], convert: Callable[[dict[str, Tensor]], Any]) -> list[str]:
    """Names of the weights that reach nothing in what `convert` makes of them, whatever it renames, joins, cuts and scales: no gradient
    comes back to them. Scalars are scales, and zeros would change nothing.
    """
    traced = {name: value.clone() for name, value in in_file.items()}
    leaves = {name: value.requires_grad_() for name, value in traced.items() if value.ndim and value.is_floating_point() and value.any()}
    reached = [value.float().sum() for value in _converted(convert(traced)).values() if value.requires_grad]
    if not reached or not leaves:
        return list(leaves)
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(torch.stack(reached).sum(), list(leaves.values()), allow_unused=True)
    return [name for name, gradient in zip(leaves, gradients, strict=True) if gradient is None]


def _converted(made: Any) -> dict[str, Tensor]:
    """The weights of what a pipeline's `lora_state_dict` returns, beside which may stand scales and metadata."""
    weights: dict[str, Tensor] = made[0] if isinstance(made, tuple) else made
    return weights


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
    content = tensor.to("cpu", dtype).contiguous().view(torch.uint8).numpy().tobytes()
    return tuple(tensor.shape), hashlib.sha256(content).digest()


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value.float()).all())


def _refuse(path: Path, fault: str, keys: Sequence[str]) -> None:
    if keys:
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        raise UsageProblem(f"images.lora: {path} {fault}: {', '.join(keys[:_SHOWN])}{more}")
