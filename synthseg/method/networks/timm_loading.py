"""A timm model with pre-trained weights from a file, a folder or what was fetched of the hub; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import nn

from synthseg.errors import UsageProblem
from synthseg.machine.hub.names import HF_HUB_PREFIX, hub_id_of_timm
from synthseg.machine.hub.snapshot import local_snapshot

LOCAL_PREFIX = "local-dir:"
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
_NPZ = ".npz"


def load_timm(name: str, weights: str, field: str, **settings: Any) -> nn.Module:
    """The model `name` without a head: a timm name with its tag, `hf-hub:ORG/REPO` or `local-dir:FOLDER`.

    `weights` is a file, a folder with one, or empty for the name's own from the hub. `settings` go to timm, which fits positions to
    `img_size` and leaves a file's own head out. `field` is the setting that names the model, and ends in `model`. UsageProblem for an
    unknown name and for weights that are missing or do not fit.
    """
    source = _source(name, field)
    file = _file(name, source, weights, field)
    # The overlay is the one way that fits positions and drops the head. Models whose own weights are numpy files of JAX must be told
    # that this file is none.
    overlay = {"file": str(file), "source": None, "custom_load": file.suffix == _NPZ}
    return _created(source, field, weights, pretrained=True, pretrained_cfg_overlay=overlay, **settings)


def bare_timm(name: str, field: str, **settings: Any) -> nn.Module:
    """The same model before its weights, for a checkpoint that has them all. Raises as `load_timm` does."""
    return _created(_source(name, field), field, "", pretrained=False, **settings)


def _created(source: str, field: str, weights: str, **settings: Any) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(source, num_classes=0, **settings)
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageProblem(f"{field}: '{source}' with weights '{weights}' cannot be loaded: {reason}") from error
    return model


def _source(name: str, field: str) -> str:
    """The name as timm takes it without the hub."""
    if name.startswith(HF_HUB_PREFIX):
        return f"{LOCAL_PREFIX}{local_snapshot(name.removeprefix(HF_HUB_PREFIX), field)}"
    if not name.startswith(LOCAL_PREFIX) and not timm.is_model(name):
        close = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        raise UsageProblem(f"{field}: timm knows no model '{name}'" + (f"; did you mean {' or '.join(close)}?" if close else ""))
    return name


def _file(name: str, source: str, weights: str, field: str) -> Path:
    if weights:
        path = Path(weights).expanduser()
        if not path.exists():
            raise UsageProblem(f"{field.removesuffix('model')}weights: {weights} does not exist")
    elif source.startswith(LOCAL_PREFIX):
        path = Path(source.removeprefix(LOCAL_PREFIX))
    else:
        hub_id = hub_id_of_timm(name)
        if not hub_id:
            raise UsageProblem(
                f"{field}: timm knows no weights of '{name}'; add its tag, or set {field.removesuffix('model')}weights to a file"
            )
        path = local_snapshot(hub_id, field)
    if path.is_file():
        return path
    for candidate in WEIGHTS_NAMES:
        if (path / candidate).is_file():
            return path / candidate
    raise UsageProblem(f"{field}: {path / WEIGHTS_NAMES[0]} is missing; run: synthseg fetch PRESET")
