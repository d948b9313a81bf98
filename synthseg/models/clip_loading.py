"""Any open_clip model by one name and one weights setting: the embedded one, the hub's, a folder's or a file's.

The scorer and the segmenter's encoder load through here, so that one setting means one model everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.weights import EMBEDDED_CLIP

EMBEDDED_NAME = "embedded"
LOCAL_PREFIX = "local-dir:"
CONFIG_NAME = "open_clip_config.json"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")

Tokenizer = Callable[[Sequence[str]], Tensor]
"""Texts to (N, context) token ids."""


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """A model in evaluation mode and what its inputs must look like."""

    model: nn.Module
    """open_clip's CLIP or CustomTextCLIP, float32, frozen."""
    tokenizer: Tokenizer
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int]
    """Height and width of the images it was trained on."""
    digest: str
    """Changes with the weights or the preprocessing."""


def load_open_clip(model: str, weights: str = "", device: str = "cpu") -> LoadedClip:
    """Load `model`: `embedded`, an open_clip name, `hf-hub:ORG/REPO`, `local-dir:FOLDER` or a folder's path.

    `weights` is a file or one of open_clip's tags for a plain name, and empty for all others. UsageProblem for an unknown name or
    tag and for missing weights.
    """
    import open_clip

    import synthseg.models.hybrid_vit  # noqa: F401  registers the embedded image tower with timm

    name, tag = _resolve(model, weights)
    try:
        clip = open_clip.create_model(name, pretrained=tag or None, device=device, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageProblem(f"clip model: '{model}' with weights '{weights}' cannot be loaded: {reason}") from error
    settings: dict[str, Any] = clip.visual.preprocess_cfg
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    identity = digest("open_clip", state_hash(clip), list(mean), list(std), [height, width])
    return LoadedClip(clip.eval().requires_grad_(False), tokenizer, mean, std, (height, width), identity)


def _resolve(model: str, weights: str) -> tuple[str, str]:
    """open_clip's model name and weights tag; folders are checked before anything heavy loads."""
    if model == EMBEDDED_NAME:
        if weights:
            raise UsageProblem(f"clip weights: '{weights}' does not go with the embedded model; leave it empty")
        _check_folder(EMBEDDED_CLIP, "the embedded CLIP has no weights; run `make embedded-clip`")
        return f"{LOCAL_PREFIX}{EMBEDDED_CLIP}", ""
    folder = model.removeprefix(LOCAL_PREFIX)
    if model.startswith(LOCAL_PREFIX) or Path(folder).is_dir():
        _check_folder(Path(folder), "put open_clip's weights there, or choose another model")
        return f"{LOCAL_PREFIX}{folder}", ""
    return model, weights


def _check_folder(folder: Path, way_out: str) -> None:
    if not (folder / CONFIG_NAME).is_file():
        raise UsageProblem(f"clip model: {folder / CONFIG_NAME} is missing; {way_out}")
    if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
        raise UsageProblem(f"clip weights: {folder / 'model.safetensors'} is missing; {way_out}")


def state_hash(model: nn.Module) -> str:
    """Hex sha256 over names, shapes and float32 bytes of the model's state, whatever file it came from."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{name}{tuple(tensor.shape)}".encode())
        hasher.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return hasher.hexdigest()
