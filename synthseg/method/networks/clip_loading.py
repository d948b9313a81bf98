"""Any open_clip model by one name and one weights setting: the embedded one, the hub's, a folder's or a file's.

The scorer and the segmenter's encoder load through here, so that one setting means one model everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.machine.hub.names import HF_HUB_PREFIX
from synthseg.machine.hub.snapshot import local_snapshot
from synthseg.machine.packaged import EMBEDDED_CLIP

EMBEDDED_NAME = "embedded"
LOCAL_PREFIX = "local-dir:"
CONFIG_NAME = "open_clip_config.json"
QUICKGELU = "-quickgelu"
"""Ends the names of open_clip's models with the activation that OpenAI trained with."""
WEIGHTS_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Where a repository keeps a whole CLIP unless open_clip's list names another file."""
DEFAULT_CONTEXT = 77
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


def load_open_clip(model: str, weights: str = "", device: str = "cpu", field: str = "scoring.model") -> LoadedClip:
    """Load `model`: `embedded`, an open_clip name, `hf-hub:ORG/REPO`, `local-dir:FOLDER` or a folder's path.

    `weights` is a file or one of open_clip's tags for a plain name, and empty for all others. Nothing is downloaded: what the hub has
    must have been fetched. `field` is the setting that names the model. UsageProblem for an unknown name or tag, for missing weights,
    and for weights that were trained with another activation than the model has.
    """
    import open_clip

    import synthseg.method.networks.hybrid_vit  # noqa: F401  registers the embedded image tower with timm

    source = _resolve(model, weights, field)
    try:
        with hub_offline():
            clip = open_clip.create_model(
                source.name,
                pretrained=str(source.file) if source.file else None,
                device=device,
                require_pretrained=True,
                force_preprocess_cfg=dict(source.preprocessing),
            )
            tokenizer = _tokenizer(source, field)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageProblem(f"{field}: '{model}' with weights '{weights}' cannot be loaded: {reason}") from error
    settings: dict[str, Any] = clip.visual.preprocess_cfg
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    identity = digest("open_clip", state_hash(clip), list(mean), list(std), [height, width])
    return LoadedClip(clip.eval().requires_grad_(False), tokenizer, mean, std, (height, width), identity)


@dataclass(frozen=True, slots=True)
class _Source:
    """What open_clip is told: a name of its own with a weights file, or `local-dir:FOLDER` alone."""

    name: str
    file: Path | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """What the weights were trained with, where that is not said beside them."""


def _resolve(model: str, weights: str, field: str) -> _Source:
    """Where the model lies; folders and files are checked before anything heavy loads."""
    if model == EMBEDDED_NAME:
        if weights:
            raise UsageProblem(f"{field}: weights '{weights}' do not go with the embedded model; leave them empty")
        _check_folder(EMBEDDED_CLIP, field, "the embedded CLIP has no weights; run `make embedded-clip`")
        return _Source(f"{LOCAL_PREFIX}{EMBEDDED_CLIP}")
    folder = Path(model.removeprefix(LOCAL_PREFIX)).expanduser()
    if model.startswith(HF_HUB_PREFIX):
        folder = local_snapshot(model.removeprefix(HF_HUB_PREFIX), field)
    if model.startswith((LOCAL_PREFIX, HF_HUB_PREFIX)) or folder.is_dir():
        _check_folder(folder, field, "put open_clip's weights there, or choose another model")
        return _Source(f"{LOCAL_PREFIX}{folder}")
    return _known_by_name(model, weights, field)


def _known_by_name(model: str, weights: str, field: str) -> _Source:
    """A model of open_clip's own list, with a file or with the weights of one of its tags."""
    import open_clip

    if open_clip.get_model_config(model) is None:
        close = get_close_matches(model, open_clip.list_models(), 3)
        raise UsageProblem(f"{field}: open_clip knows no model '{model}'" + (f"; did you mean {' or '.join(close)}?" if close else ""))
    if Path(weights).expanduser().is_file():
        return _Source(model, Path(weights).expanduser())
    if not weights or weights.startswith(("/", ".", "~")):
        fault = f"{weights} does not exist" if weights else f"'{model}' has no weights"
        raise UsageProblem(f"{field}: {fault}; set its weights to a file or to one of {_tags(model)}")
    settings = open_clip.get_pretrained_cfg(model, weights)
    if not settings:
        raise UsageProblem(f"{field}: '{model}' has no weights '{weights}'; it has {_tags(model)}")
    if bool(settings.get("quick_gelu")) != bool(open_clip.get_model_config(model).get("quick_gelu")):
        plain = model.removesuffix(QUICKGELU)
        name = plain + QUICKGELU if settings.get("quick_gelu") else plain
        raise UsageProblem(f"{field}: the weights '{weights}' were trained with another activation; name the model '{name}'")
    repo, _, name = str(settings["hf_hub"]).rpartition("/")
    if not repo:
        raise UsageProblem(f"{field}: the hub has no weights '{weights}' of '{model}'; set its weights to a file")
    preprocessing = {key: settings[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in settings}
    return _Source(model, _weights_in(local_snapshot(repo, field), name, field), preprocessing)


def _tags(model: str) -> str:
    import open_clip

    return ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "no tags"


def _weights_in(folder: Path, name: str, field: str) -> Path:
    """The file of a repository that open_clip would take: `name`, or its default name, as safetensors before anything else."""
    names = [Path(name).with_suffix(".safetensors").name, name] if name else list(WEIGHTS_NAMES)
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise UsageProblem(f"{field}: {folder / names[0]} is missing; run: synthseg fetch PRESET")


def _tokenizer(source: _Source, field: str) -> Tokenizer:
    """The model's own tokenizer; one that lives on the hub is taken from what was fetched."""
    import open_clip

    if source.name.startswith(LOCAL_PREFIX):
        folder = Path(source.name.removeprefix(LOCAL_PREFIX))
        settings = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        held = folder if (folder / "tokenizer_config.json").is_file() else None
    else:
        settings, held = open_clip.get_model_config(source.name)["text_cfg"], source.file.parent if source.file else None
        held = held if held and (held / "tokenizer_config.json").is_file() else None
    hub_id = settings.get("hf_tokenizer_name", "")
    if not hub_id:
        tokenizer: Tokenizer = open_clip.get_tokenizer(source.name)
        return tokenizer
    from open_clip.tokenizer import HFTokenizer

    made: Tokenizer = HFTokenizer(
        str(held or local_snapshot(hub_id, field)),
        context_length=settings.get("context_length", DEFAULT_CONTEXT),
        tokenizer_mode=settings.get("tokenizer_mode"),
        **settings.get("tokenizer_kwargs", {}),
    )
    return made


@contextmanager
def hub_offline() -> Iterator[None]:
    """Whatever a library looks for on the hub meanwhile is found on this machine or not at all."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _check_folder(folder: Path, field: str, way_out: str) -> None:
    if not (folder / CONFIG_NAME).is_file():
        raise UsageProblem(f"{field}: {folder / CONFIG_NAME} is missing; {way_out}")
    if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
        raise UsageProblem(f"{field}: {folder / 'model.safetensors'} is missing; {way_out}")


def state_hash(model: nn.Module) -> str:
    """Hex sha256 over names, shapes and float32 bytes of the model's state, whatever file it came from."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{name}{tuple(tensor.shape)}".encode())
        hasher.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return hasher.hexdigest()
