"""The text engine: chat messages in, text out, optionally held to a JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from synthseg.errors import UsageProblem

OnPiece = Callable[[str], bool]
"""Takes the next piece of a text; False says that nobody wants the rest."""
IsWanted = Callable[[], bool]
"""Whether somebody still waits for the text; asked at every sign of life, also while the engine has yet to begin writing."""


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One completion. Two equal requests to one engine get the same text."""

    messages: tuple[Mapping[str, str], ...]
    """Chat messages with `role` and `content`."""
    seed: int
    max_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 0.95
    json_schema: Mapping[str, Any] | None = None
    """When given, engines that can constrain decoding return text that parses under it."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""
    prompt: str | None = None
    """Raw text to go on from, without any chat format; `messages` is then empty."""


@dataclass(frozen=True, slots=True)
class TextReply:
    """What came back. `finish_reason` is stop or length."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class RequestRefused(UsageProblem):
    """The engine works but cannot take this one request: a text beyond its context, a schema without a grammar."""


class TextEngine(Protocol):
    """A language model. `digest` changes whenever the same request could give other text."""

    digest: str

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order."""
        ...


@runtime_checkable
class StreamingTextEngine(TextEngine, Protocol):
    """A language model that can also tell its text while it writes it."""

    def stream(self, request: TextRequest, on_piece: OnPiece, is_wanted: IsWanted = lambda: True) -> TextReply:
        """The reply that `generate` gives, piece by piece first; when one of the two says no, what had been written until then."""
        ...
