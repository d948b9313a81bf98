"""Does an image depend on its batch? Measured on an engine as it stands: batches of 1 against one batch of k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.errors import RunFailure
from synthseg.image_codec import decode_rgb


class Generates(Protocol):
    """The part of an image engine that is needed; a batch run puts its replicas here."""

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """One result a request, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Invariance:
    """How far images made alone are from the same images made in one batch, in steps of 8-bit pixels."""

    batch_size: int
    num_images: int
    """Images that both ways made; one that failed is left out."""
    num_identical: int
    """Of them, byte for byte the same."""
    max_difference: int
    mean_difference: float

    def __str__(self) -> str:
        """One line, for doctor's table."""
        return (
            f"batch 1 against {self.batch_size}: {self.num_identical} of {self.num_images} images identical, "
            f"pixels differ by at most {self.max_difference} of 255, {self.mean_difference:.4f} on average"
        )

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return asdict(self)


def measure_invariance(engine: Generates, config: RunConfig, batch_size: int = 0) -> Invariance:
    """Make `batch_size` images (0: `execution.image_batch_size`) of `config`'s size and settings twice, alone and together.

    RunFailure when no image can be compared, with the first reason.
    """
    requests = invariance_requests(config, batch_size or config.execution.image_batch_size)
    alone = [engine.generate([request])[0] for request in requests]
    together = engine.generate(requests)
    pairs = [(a, b) for a, b in zip(alone, together, strict=True) if isinstance(a, GeneratedImage) and isinstance(b, GeneratedImage)]
    if not pairs:
        reasons = [result.error for result in (*alone, *together) if isinstance(result, GenerationFailure)]
        raise RunFailure(f"invariance: the image engine made nothing to compare: {reasons[0]}")
    apart = [np.abs(decode_rgb(a.encoded).astype(np.int16) - decode_rgb(b.encoded).astype(np.int16)) for a, b in pairs]
    return Invariance(
        batch_size=len(requests),
        num_images=len(pairs),
        num_identical=sum(a.encoded == b.encoded for a, b in pairs),
        max_difference=max(int(difference.max()) for difference in apart),
        mean_difference=round(float(np.mean([difference.mean() for difference in apart])), 6),
    )


def invariance_requests(config: RunConfig, num_requests: int) -> list[ImageRequest]:
    """Plain prompts of the run's classes in turn, each with a seed of its own. Lengths differ, as a batch may show in its padding."""
    images, classes = config.images, config.class_infos()
    prompts = [f"a photo of a {info.prompt_text}" + ", seen from afar in the evening light" * (i % 2) for i, info in enumerate(classes)]
    return [
        ImageRequest(prompts[i % len(prompts)], i, images.width, images.height, images.negative_prompt, images.parameters)
        for i in range(num_requests)
    ]
