"""A diffusers pipeline on disk: is it whole, and what exactly is it? Read without importing diffusers or torch.

The format is that of `DiffusionPipeline.save_pretrained`: model_index.json names the pipeline's class and its components, each component
has a folder with its config and, if it is a network, its weights. Or it is one checkpoint file, as most model sites offer, beside such a
folder whose configs and tokenizers fit it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synthseg.config.schema import ImagesConfig
from synthseg.errors import UsageProblem
from synthseg.machine.file_digest import file_digests
from synthseg.machine.hub.selection import variant_of
from synthseg.machine.hub.snapshot import local_snapshot

INDEX: Final = "model_index.json"
MODEL, LORA, SAFETY, CONFIG = "images.model", "images.lora", "images.safety_checker", "images.config"
"""Settings that name weights."""

_LIBRARIES: Final = ("diffusers", "transformers")
_WEIGHTS: Final = ("diffusion_pytorch_model", "model")
"""Stems of weight files: diffusers' networks, transformers' networks."""
_NOT_IN_CHECKPOINTS: Final = ("safety_checker",)
"""Components that diffusers leaves out when it loads a single file; `images.safety_checker` names a checker for any pipeline."""
_CHECKPOINT: Final = "checkpoint"
_READ: Final = (".json", ".safetensors", ".txt", ".model", ".jinja", ".py")


@dataclass(frozen=True, slots=True)
class PipelineFiles:
    """A pipeline that is whole on this machine."""

    folder: Path
    """Holds configs and tokenizers."""
    class_name: str
    own_code: tuple[str, ...]
    """Components, or the pipeline itself, whose code comes with the weights."""
    weights: tuple[Path, ...]
    others: tuple[Path, ...]
    """Configs and tokenizer files."""
    checkpoint: Path | None = None
    """The one file of weights, which is none of the folder's; `weights` begins with it."""

    def digests(self) -> dict[str, str]:
        """Content hash of every file that is read, by its path in the folder; a checkpoint's name does not count."""
        paths = [*self.weights, *self.others]
        names = [_CHECKPOINT if path == self.checkpoint else path.relative_to(self.folder).as_posix() for path in paths]
        return dict(zip(names, file_digests(paths), strict=True))

    def num_bytes(self) -> int:
        """Size of the weights."""
        return sum(path.stat().st_size for path in self.weights)


def pipeline_files(images: ImagesConfig) -> PipelineFiles:
    """The files of `images.model`. UsageProblem names what is missing or damaged and the way out; nothing is downloaded or loaded."""
    folder = local_snapshot(images.model, MODEL, images.revision)
    if folder.is_file():
        return _single_file(folder, images)
    if images.config:
        raise UsageProblem(f"{CONFIG}: belongs to a single checkpoint file, and {folder} is a folder with its own; leave it empty")
    index = _read_index(folder, MODEL)
    class_name = index["_class_name"]
    own_code = [class_name[0]] if isinstance(class_name, list) else []
    weights: list[Path] = []
    others = [folder / INDEX]
    for name, entry in components(index).items():
        component = folder / name
        if not component.is_dir():
            raise UsageProblem(f"{MODEL}: {folder} has no folder '{name}', which its {INDEX} names; fetch or copy it whole")
        if any(component.glob("*.py")) or (entry[0] not in _LIBRARIES and (folder / name / f"{entry[0]}.py").is_file()):
            own_code.append(name)
        found = component_weights(component, MODEL, images.variant)
        weights += found
        others += _other_files(component)
    if images.variant and all(variant_of(path.name) != images.variant for path in weights):
        raise UsageProblem(
            f"images.variant: {folder} has no weights of variant '{images.variant}'; set images.variant = '' for the plain ones"
        )
    if own_code and images.trust_remote_code != images.model:
        raise UsageProblem(
            f"{MODEL}: {images.model} brings code of its own ({', '.join(own_code)}), which loading would run; "
            f"if you trust it, set images.trust_remote_code = '{images.model}'"
        )
    name = class_name[-1] if isinstance(class_name, list) else class_name
    return PipelineFiles(folder, str(name), tuple(own_code), tuple(weights), tuple(others))


def _single_file(checkpoint: Path, images: ImagesConfig) -> PipelineFiles:
    """One file of weights, with the configs and tokenizers of `images.config`.

    Networks of transformers that the file lacks (FLUX's T5) are read from that folder, so weights of theirs there count as read.
    """
    if checkpoint.suffix != ".safetensors":
        raise UsageProblem(f"{MODEL}: {checkpoint} is no .safetensors file; other formats can run code when loaded")
    check_safetensors(checkpoint, MODEL)
    for name in ("variant", "trust_remote_code"):
        if getattr(images, name):
            raise UsageProblem(f"images.{name}: a single checkpoint file has none; leave it empty")
    if not images.config:
        raise UsageProblem(
            f"{CONFIG}: is empty, and {checkpoint} holds weights only; name the hub id or the folder of a diffusers pipeline of its kind, "
            "such as stable-diffusion-v1-5/stable-diffusion-v1-5 or stabilityai/stable-diffusion-xl-base-1.0"
        )
    folder = local_snapshot(images.config, CONFIG)
    index = _read_index(folder, CONFIG)
    weights, others = [checkpoint], [folder / INDEX]
    for name, (library, _) in components(index).items():
        component = folder / name
        if name in _NOT_IN_CHECKPOINTS:
            continue
        if not component.is_dir():
            raise UsageProblem(f"{CONFIG}: {folder} has no folder '{name}', which its {INDEX} names; fetch or copy it whole")
        if any(component.glob("*.py")):
            raise UsageProblem(f"{CONFIG}: {folder} brings code of its own ({name}); name a pipeline of diffusers")
        if library == "transformers" and any(path.suffix in (".safetensors", ".bin") for path in component.iterdir()):
            weights += component_weights(component, CONFIG)
        others += _other_files(component)
    return PipelineFiles(folder, str(index["_class_name"]), (), tuple(weights), tuple(others), checkpoint)


def _other_files(component: Path) -> list[Path]:
    return sorted(path for path in component.iterdir() if path.suffix in _READ and path.suffix != ".safetensors")


def components(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Library and class of each component that the content of a model_index.json names, by its folder."""
    return {
        name: (entry[0], entry[1])
        for name, entry in sorted(index.items())
        if not name.startswith("_") and isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)
    }


def component_weights(component: Path, field: str, variant: str = "") -> list[Path]:
    """Whole weight files of a component's folder; none for one without weights (scheduler, tokenizer, preprocessor).

    UsageProblem where a network has none of `variant`, has only files that run code when loaded, or has a damaged one.
    """
    if not (component / "config.json").is_file():
        if not any(component.glob("*.json")):
            raise UsageProblem(f"{field}: {component} holds no config; fetch or copy it whole")
        return []
    present = sorted(path for path in component.glob("*.safetensors") if path.name.startswith(_WEIGHTS))
    # A component without files of the variant is loaded without one, as diffusers does.
    variants = {variant_of(path.name) for path in present}
    used = variant if variant in variants else ""
    wanted = [path for path in present if variant_of(path.name) == used]
    if not wanted:
        if present:
            raise UsageProblem(f"{field}: {component} has weights of variant {', '.join(sorted(variants))} only; set images.variant")
        if any(component.glob("*.bin")):
            raise UsageProblem(f"{field}: {component} has no safetensors, only .bin files, which can run code when loaded; convert them")
        raise UsageProblem(f"{field}: {component} has no weights (.safetensors); fetch or copy it whole")
    for index in component.glob("*.safetensors.index*.json"):
        if variant_of(index.name) == used:
            _check_shards(index, wanted, field)
    for path in wanted:
        check_safetensors(path, field)
    return wanted


def check_safetensors(path: Path, field: str) -> None:
    """UsageProblem unless the file is as long as its header says (a download that was cut short is not)."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError
            header: Mapping[str, Any] = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise UsageProblem(f"{field}: {path} is no safetensors file; fetch or copy it again") from None
    if size != 8 + length + end:
        raise UsageProblem(f"{field}: {path} is damaged ({size} bytes, its header says {8 + length + end}); fetch or copy it again")


def lora_file(images: ImagesConfig) -> Path | None:
    """The safetensors file of `images.lora`; None where none is set. UsageProblem when it is missing, damaged or one of several."""
    if not images.lora:
        return None
    path = local_snapshot(images.lora, LORA, "")
    if path.is_dir():
        found = sorted(path.rglob("*.safetensors"))
        if images.lora_file:
            found = [file for file in found if file.relative_to(path).as_posix() == images.lora_file]
        if len(found) != 1:
            names = ", ".join(file.relative_to(path).as_posix() for file in sorted(path.rglob("*.safetensors"))) or "none"
            raise UsageProblem(
                f"{LORA}: {images.lora} must hold one .safetensors file, or images.lora_file must name one of it (has: {names})"
            )
        path = found[0]
    if path.suffix != ".safetensors":
        raise UsageProblem(f"{LORA}: {path} is no .safetensors file; other formats can run code when loaded")
    check_safetensors(path, LORA)
    return path


def safety_checker_folder(images: ImagesConfig) -> Path | None:
    """Folder of a checker other than the pipeline's own; None for the pipeline's own or none. UsageProblem when it is not whole."""
    if images.safety_checker in ("auto", "off"):
        return None
    folder = local_snapshot(images.safety_checker, SAFETY, "")
    if not (folder / "config.json").is_file() or not (folder / "preprocessor_config.json").is_file():
        raise UsageProblem(f"{SAFETY}: {folder} has no config.json or no preprocessor_config.json; name a Stable Diffusion safety checker")
    component_weights(folder, SAFETY)
    return folder


def missing_weights(images: ImagesConfig) -> list[str]:
    """One clause for everything of `images` that this machine lacks."""
    missing = []
    for look in (pipeline_files, lora_file, safety_checker_folder):
        try:
            look(images)
        except UsageProblem as problem:
            missing.append(str(problem))
    return missing


def _read_index(folder: Path, field: str) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise UsageProblem(f"{field}: {folder} is no diffusers pipeline (it has no {INDEX})")
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        index["_class_name"]
    except (ValueError, KeyError, TypeError):
        raise UsageProblem(f"{field}: {path} names no pipeline class; fetch or copy it again") from None
    return index


def _check_shards(index: Path, present: list[Path], field: str) -> None:
    names = {path.name for path in present}
    try:
        wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        raise UsageProblem(f"{field}: {index} is no index of weights; fetch or copy it again") from None
    if missing := sorted(wanted - names):
        raise UsageProblem(f"{field}: {index.parent} lacks {missing[0]}, which {index.name} names; fetch or copy it whole")
