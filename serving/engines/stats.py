"""What a replica tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What one replica has done since it started and what it has in hand; `/metrics` shows it under these names."""

    deployment: str
    """TextEngine, ImageEngine or PromptAgent."""
    replica: str
    queued: int
    """Requests that wait for the engine."""
    running: int
    """Requests in the engine's current call."""
    batches: int
    requests: int
    """Requests in all `batches` together."""
    engine_s: float
    """Time spent in the engine."""
    max_batch_size: int
    fault: str = ""
    """Why the engine cannot answer although its replica lives, in words for everybody; empty while it can."""
