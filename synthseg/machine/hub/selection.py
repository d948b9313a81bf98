"""Which files of a repository are needed: safetensors, settings and tokenizers; never the same weights again in another format."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from synthseg.errors import UsageProblem

Kind = Literal["transformers", "gguf", "diffusers", "pipeline-config", "clip", "timm", "lora"]
"""What reads the files: transformers and vLLM, llama.cpp, diffusers, open_clip, timm; a LoRA is read by vLLM or diffusers. Of a
pipeline-config diffusers reads all but the weights, which a single checkpoint file holds.
"""

MODEL_INDEX: Final = "model_index.json"
_SETTINGS: Final = (".json", ".txt", ".jinja", ".model")
"""Configurations, vocabularies, merges, chat templates, sentencepiece models."""
_WEIGHTS: Final = ".safetensors"
_OPEN_CLIP: Final = "open_clip_"
_OTHER_LAYOUTS: Final = ("consolidated*",)
"""The same weights once more, as their makers' own programs want them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A way of choosing files. `file` names the one wanted; `variant` is diffusers' (fp16), empty for the plain files."""

    kind: Kind
    file: str = ""
    variant: str = ""

    @property
    def key(self) -> str:
        """Identity, under which a manifest notes that everything it chooses is here."""
        return ":".join(part for part in (self.kind, self.file, self.variant) if part)


def select(selection: Selection, names: Collection[str], read: Callable[[str], Mapping[str, Any]], field: str) -> list[str]:
    """The files `selection` wants of a repository that holds `names`, sorted. `read` gives the content of a JSON file of it.

    UsageProblem, with the setting `field`, when the repository has no such weights.
    """
    if selection.file:
        if selection.file not in names:
            near = ", ".join(sorted(name for name in names if name.endswith(selection.file.rpartition(".")[2]))[:6])
            raise UsageProblem(f"{field}: the repository has no file '{selection.file}'" + (f"; it has {near}" if near else ""))
        return [selection.file]
    if selection.kind == "pipeline-config":
        return sorted([MODEL_INDEX, *(name for part in _components(names, read, field) for name in _settings_of(part, names))])
    chosen = _pipeline(selection, names, read, field) if selection.kind == "diffusers" else _flat(selection.kind, names)
    if not any(name.endswith(_WEIGHTS) for name in chosen):
        raise UsageProblem(f"{field}: the repository has no weights as safetensors, the only format that is loaded; name another model")
    return sorted(chosen)


def _flat(kind: Kind, names: Collection[str]) -> list[str]:
    """Files at the top of the repository."""
    top = [name for name in names if "/" not in name and not any(fnmatch.fnmatch(name, other) for other in _OTHER_LAYOUTS)]
    weights = [name for name in top if name.endswith(_WEIGHTS)]
    own = [name for name in weights if name.startswith(_OPEN_CLIP)]
    if kind == "clip" and own:
        # timm's repositories of CLIP models hold the image tower once more, for timm itself.
        weights = own
    return weights + [name for name in top if name.endswith(_SETTINGS) and not name.startswith("pytorch_model")]


def _pipeline(selection: Selection, names: Collection[str], read: Callable[[str], Mapping[str, Any]], field: str) -> list[str]:
    """The folders of the components that the pipeline's own index names."""
    chosen = [MODEL_INDEX]
    for component in _components(names, read, field):
        inside = [name for name in names if name.startswith(f"{component}/")]
        weights = [name for name in inside if name.endswith(_WEIGHTS)]
        wanted = [name for name in weights if variant_of(name) == selection.variant]
        if weights and not wanted:
            # diffusers takes the plain file of a component that has no such variant; the other way round it finds nothing.
            wanted = [name for name in weights if not variant_of(name)]
        if any(name.endswith((".bin", ".msgpack", ".onnx")) for name in inside) and not wanted:
            raise UsageProblem(f"{field}: '{component}' has no weights as safetensors in this form; name another model")
        chosen += wanted
        chosen += _settings_of(component, names)
    return chosen


def _components(names: Collection[str], read: Callable[[str], Mapping[str, Any]], field: str) -> list[str]:
    """The folders that the pipeline's own index names."""
    if MODEL_INDEX not in names:
        raise UsageProblem(f"{field}: the repository has no {MODEL_INDEX}, so it is no diffusers pipeline; name one that is")
    return [name for name, value in read(MODEL_INDEX).items() if isinstance(value, list) and value and value[0] is not None]


def _settings_of(component: str, names: Collection[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{component}/") and name.endswith(_SETTINGS)]


def variant_of(name: str) -> str:
    """The variant of a file of weights, or of an index of them: fp16 of model.fp16.safetensors, model.fp16-00001-of-00002.safetensors and
    model.safetensors.index.fp16.json; empty where there is none.
    """
    stem, _, index = name.rpartition("/")[2].partition(_WEIGHTS)
    return index.removeprefix(".index").removesuffix(".json").removeprefix(".") or stem.partition(".")[2].partition("-")[0]
