"""What the prompt agent answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundPrompt:
    """An accepted prompt of the agent, as it is found."""

    text: str
    class_name: str
    round: int
    quality: float
    class_similarity: float
    neighbour_similarity: float


@dataclass(frozen=True, slots=True)
class RefinedPrompt:
    """The agent's rewriting of a prompt. `text` is the original where no candidate was better; `reason` then says why."""

    text: str
    quality: float
    reason: str = ""
