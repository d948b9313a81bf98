"""How much of a prompt a pipeline reads: what its text encoders' tokenizers cut off is counted, and the agent is told before it accepts.

The pipeline's own code turns the prompt into tokens, with its template around it where it has one; only the networks behind are blank.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.files import pipeline_files
from synthseg.engines.diffusers.outline import BlankEncoder, outline
from synthseg.engines.image import AnyPrompt, PromptCheck, PromptRefusal
from synthseg.errors import UsageProblem

TOO_LONG: Final = PromptRefusal("too_many_tokens", "The caption was longer than the image model can read; say it in fewer words.")
_WORD: Final = "cat"
_LENGTH: Final = "max_sequence_length"
_REMEMBERED: Final = 1024
"""Prompts whose count is kept: a run asks for several images of each."""


class PromptReader:
    """Counts the tokens of a prompt that no text encoder of the pipeline reads.

    A prompt is read whole where one of the encoders reads it whole, as FLUX's T5 reads what its CLIP does not. Any number of threads
    may ask.
    """

    def __init__(self, pipe: Any, parameters: Mapping[str, Any]) -> None:
        """`pipe` is loaded or in outline and stays as it is. `parameters` are the preset's, which may bound the tokens."""
        self._pipe, self._tallies = _blank_copy(pipe)
        self._lock = threading.Lock()
        self._arguments = _arguments(pipe)
        self._count = lru_cache(_REMEMBERED)(self._excess)
        self.max_words: Final = self._most_words(parameters)
        """Words of the longest prompt that may be read whole: those of one token each. None where the pipeline's way with prompts is not
        understood, and nothing is counted.
        """

    def num_cut(self, prompt: str, parameters: Mapping[str, Any]) -> int:
        """Tokens of `prompt` that are cut off in a request with `parameters`."""
        return max(self._count(prompt, parameters.get(_LENGTH)), 0) if self.max_words is not None else 0

    def _most_words(self, parameters: Mapping[str, Any]) -> int | None:
        if not hasattr(self._pipe, "encode_prompt"):
            return None
        try:
            return 1 - self._excess(_WORD, parameters.get(_LENGTH))
        except Exception:  # noqa: BLE001 - whatever a pipeline of another kind does with blank networks
            return None

    def _excess(self, prompt: str, length: int | None) -> int:
        """Tokens beyond what the encoder with the most room keeps, below 0 where it has room left. ValueError where none was asked."""
        with self._lock:
            for tally in self._tallies:
                tally.excess = None
            bound = {_LENGTH: length} if length is not None and _LENGTH in self._arguments else {}
            self._pipe.encode_prompt(prompt=[prompt], **self._arguments | bound)
            return min(tally.excess for tally in self._tallies if tally.excess is not None)


class _Tally:
    """Tokens of the longest text beyond what a tokenizer was told to keep; below 0 where there was room. None before it was asked."""

    def __init__(self) -> None:
        self.excess: int | None = None

    def note(self, excess: int) -> None:
        self.excess = excess if self.excess is None else max(excess, self.excess)


def prompt_check(images: ImagesConfig) -> PromptCheck:
    """The check of `images.model`, from its tokenizers and configs alone.

    Every prompt passes where the pipeline brings code of its own, or where this node has no such model because the replicas run on
    others; what is cut off is counted all the same, with each image.
    """
    try:
        files = pipeline_files(images)
        if files.own_code:
            return AnyPrompt()
        return TokenCheck(outline(files), images.parameters)
    except UsageProblem:
        return AnyPrompt()


class TokenCheck:
    """Refuses prompts of which the text encoders would read a part only."""

    def __init__(self, pipe: Any, parameters: Mapping[str, Any]) -> None:
        self._reader = PromptReader(pipe, parameters)
        self._parameters = parameters

    @property
    def max_words(self) -> int | None:
        """As `PromptReader.max_words`."""
        return self._reader.max_words

    def refusal(self, prompt: str, /) -> PromptRefusal | None:
        """As `PromptCheck`."""
        return TOO_LONG if self._reader.num_cut(prompt, self._parameters) else None


def _arguments(pipe: Any) -> dict[str, Any]:
    """Arguments of the pipeline's `encode_prompt` besides the prompt; None for required ones whose meaning is not known here."""
    known: dict[str, Any] = {"device": torch.device("cpu"), "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    call = inspect.signature(type(pipe).__call__).parameters
    if _LENGTH in call:
        known[_LENGTH] = call[_LENGTH].default
    wanted = inspect.signature(pipe.encode_prompt).parameters if hasattr(pipe, "encode_prompt") else {}
    required = {name: None for name, one in wanted.items() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD}
    return {name: value for name, value in (required | known).items() if name in wanted and name != "prompt"}


def _blank_copy(pipe: Any) -> tuple[Any, list[_Tally]]:
    """A copy of the pipeline's shell with blank text encoders and tokenizers that keep a tally."""
    shell = copy.copy(pipe)
    tallies = []
    for name, part in pipe.components.items():
        if isinstance(part, PreTrainedTokenizerBase):
            tally = _Tally()
            tallies.append(tally)
            setattr(shell, name, _counting(part, tally))
        elif isinstance(part, nn.Module) and name.startswith("text_encoder"):
            setattr(shell, name, part if isinstance(part, BlankEncoder) else BlankEncoder.like(part.config, type(part).__name__))
    return shell, tallies


def _counting(tokenizer: Any, tally: _Tally) -> Any:
    """A copy of a tokenizer that notes how much it is told to cut off."""

    def call(self: Any, text: Any = None, *more: Any, **settings: Any) -> Any:
        if settings.get("truncation") and text is not None:
            kept = settings.get("max_length") or self.model_max_length
            special = settings.get("add_special_tokens", True)
            whole = super(kind, self).__call__(text, add_special_tokens=special, padding=False, truncation=False).input_ids
            for ids in whole if whole and isinstance(whole[0], list) else [whole]:
                tally.note(len(ids) - kept)
        return super(kind, self).__call__(text, *more, **settings)

    kind: Any = type(type(tokenizer).__name__, (type(tokenizer),), {"__call__": call})
    counting = copy.copy(tokenizer)
    counting.__class__ = kind
    return counting
