"""The image engine: prompts in, encoded images out, one outcome a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

SAFE: Final = "ok"
UNCHECKED: Final = "unchecked"
"""Verdict where the engine has no safety checker; such an image is used like a safe one."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image. The engine draws it from these fields alone, whatever else is in its batch."""

    prompt: str
    seed: int
    width: int
    height: int
    negative_prompt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Engine settings such as steps and guidance_scale."""


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """An encoded image (PNG unless the engine says otherwise) and its safety verdict: SAFE, UNCHECKED or a category."""

    encoded: bytes
    width: int
    height: int
    safety: str = SAFE
    cut_tokens: int = 0
    """Tokens of the prompt and the negative prompt that the engine's text encoders did not read."""

    @property
    def is_withheld(self) -> bool:
        """Whether the verdict keeps the image out of training sets and answers."""
        return self.safety not in (SAFE, UNCHECKED)


@dataclass(frozen=True, slots=True)
class GenerationFailure:
    """Why one request of a batch has no image; `retryable` when another try may succeed."""

    error: str
    retryable: bool


class ImageEngine(Protocol):
    """A text-to-image model. `digest` changes whenever the same request could give another image."""

    digest: str

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """One result a request, in order; a bad request fails alone."""
        ...


@dataclass(frozen=True, slots=True)
class PromptRefusal:
    """Why an image engine makes no image of a prompt."""

    reason: str
    """One word for it, counted beside the agent's own reasons."""
    advice: str
    """A sentence on what the caption lacks, told to the language model that writes it again."""


class PromptCheck(Protocol):
    """What an image engine knows about prompts before its weights are loaded. The agent asks it before it accepts a prompt.

    It is cheap, needs no GPU, and any number of threads may ask it.
    """

    @property
    def max_words(self) -> int | None:
        """Words that the engine reads of any prompt; None where it reads all."""
        ...

    def refusal(self, prompt: str, /) -> PromptRefusal | None:
        """Why the engine would make no image of `prompt`, or None where it makes one."""
        ...


@dataclass(frozen=True, slots=True)
class AnyPrompt:
    """The check of an engine that takes every prompt."""

    max_words: int | None = None

    def refusal(self, _: str, /) -> PromptRefusal | None:
        """None, for every prompt."""
        return None


def at_most(max_words: int, check: PromptCheck) -> int:
    """`max_words`, or what the engine reads where that is less."""
    return max_words if check.max_words is None else min(max_words, check.max_words)


ShowPreview = Callable[[int, GeneratedImage], None]
"""Takes the index of a request and an unfinished picture of it; called on the engine's thread."""
IsWanted = Callable[[int], bool]
"""Whether somebody still waits for the request of this index; asked on the engine's thread. What is not wanted never will be again."""
UNWANTED: Final = GenerationFailure("given up: nobody waits for this image", retryable=True)


@runtime_checkable
class PreviewingImageEngine(ImageEngine, Protocol):
    """An image engine that can show its pictures while they form, and leave out those that nobody waits for any more."""

    def generate_with_previews(
        self,
        requests: Sequence[ImageRequest],
        num_previews: Sequence[int],
        show: ShowPreview,
        is_wanted: IsWanted = lambda _: True,
    ) -> list[GeneratedImage | GenerationFailure]:
        """What `generate` returns, byte for byte, after at most `num_previews[i]` calls of `show(i, ...)` for each request; UNWANTED for
        those that are left out.
        """
        ...
