"""A pipeline without its weights: its own class, scheduler and tokenizers, and networks that are shapes only.

What a pipeline can be asked for is read off it before a run begins, by the same code that reads it off the loaded one.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

import accelerate
import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.models.modeling_utils import no_init_weights
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPTextModelOutput

from synthseg.engines.diffusers.files import INDEX, PipelineFiles, components
from synthseg.errors import UsageProblem

LOAD_ERRORS: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SingleFileComponentError)
"""What the libraries raise on files that do not fit."""
_WIDTH: Final = 1
"""Width of what a blank network answers; nothing here depends on it."""


class BlankEncoder(nn.Module):
    """Stands for a text encoder: it has the config and answers zeros, so that a pipeline's own code around it can run."""

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, config: Any, *, projects: bool) -> None:
        """`projects`: it answers with a pooled projection before all else, as CLIP's text model with a projection does."""
        super().__init__()
        self.config = config
        self.projects = projects

    def forward(self, input_ids: Tensor, **_: Any) -> BaseModelOutputWithPooling | CLIPTextModelOutput:
        """Zeros for tokens (B, T): hidden states (B, T, 1) of every layer, and a pooled one (B, 1)."""
        hidden = torch.zeros(*input_ids.shape, _WIDTH)
        layers = (hidden,) * (num_layers(self.config) + 1)
        if self.projects:
            return CLIPTextModelOutput(text_embeds=hidden[:, 0], last_hidden_state=hidden, hidden_states=layers)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=hidden[:, 0], hidden_states=layers)

    @classmethod
    def like(cls, config: Any, class_name: str) -> BlankEncoder:
        """One for a network of that class."""
        return cls(config, projects=class_name.endswith("WithProjection"))


def num_layers(config: Any) -> int:
    """Layers of a text encoder, by its config; 0 where it does not say."""
    for name in ("num_hidden_layers", "num_layers"):
        for part in (config, getattr(config, "text_config", None)):
            if isinstance(found := getattr(part, name, None), int):
                return found
    return 0


def pipeline_class(files: PipelineFiles) -> Any:
    """Class of a pipeline that has no code of its own. UsageProblem when this diffusers does not know it."""
    found = getattr(diffusers, files.class_name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise UsageProblem(
            f"images.model: diffusers {diffusers.__version__} has no pipeline '{files.class_name}'; pip install --upgrade diffusers"
        )
    return found


def outline(files: PipelineFiles) -> Any:
    """The pipeline of `files`, which brings no code of its own, without weights. UsageProblem where its configs do not fit together."""
    silence()
    kind = pipeline_class(files)
    index = json.loads((files.folder / INDEX).read_text(encoding="utf-8"))
    given: dict[str, Any] = {}
    blank: dict[str, Any] = {}
    try:
        for name, (library, class_name) in components(index).items():
            folder = files.folder / name
            if not folder.is_dir():  # of what a single file is loaded without
                given[name] = None
            if not (folder / "config.json").is_file():
                continue
            if library == "diffusers":
                given[name] = _shape(getattr(diffusers, class_name), folder)
            else:  # None is what a pipeline takes for a network that it has not
                given[name] = None
                if library == "transformers":
                    blank[name] = BlankEncoder.like(
                        getattr(transformers, class_name).config_class.from_pretrained(folder, local_files_only=True), class_name
                    )
        with warnings.catch_warnings(action="ignore"):  # advice on old configs, which says nothing to a user at the start of a run
            pipe = kind.from_pretrained(files.folder, local_files_only=True, **given)
    except LOAD_ERRORS as error:
        raise UsageProblem(f"images.model: {files.folder} cannot be loaded ({first_line(error)})") from error
    pipe.register_modules(**blank)
    return pipe


def silence() -> None:
    """The libraries' progress bars and advice; what goes wrong comes as an exception."""
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _shape(kind: Any, folder: Path) -> Any:
    """A network of diffusers with all of its config and no memory behind its weights."""
    with no_init_weights(), accelerate.init_empty_weights():
        return kind.from_config(kind.load_config(folder))
