"""The plan: every sample a run will make, decided by the accepted prompts alone, and cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import pyarrow as pa

from synthseg.config.schema import RunConfig
from synthseg.ids import derive_seed, sample_id
from synthseg.records import Prompt, PromptCandidate, Sample, to_table

CONTEXT = "(context)"
"""Name under which samples that were asked for without any class are counted."""


def image_parameters(config: RunConfig) -> dict[str, Any]:
    """What an image depends on besides prompt, seed and engine."""
    images = config.images
    return {"width": images.width, "height": images.height, "negative_prompt": images.negative_prompt, **images.parameters}


def plan_samples(config: RunConfig, accepted: Iterable[PromptCandidate], engine_digest: str) -> pa.Table:
    """Samples (sections key and prompt) for `accepted` prompts, in their order, `images_per_prompt` each.

    A prompt's own class comes first in its class ids. The candidates of a prompt stand together, so the selection among
    them never looks beyond a shard.
    """
    fingerprint, parameters = config.generation_fingerprint(), image_parameters(config)
    planned = []
    for candidate in accepted:
        prompt = Prompt(**{field.name: getattr(candidate, field.name) for field in fields(Prompt)})
        for ordinal in range(config.images.images_per_prompt):
            identity = sample_id(fingerprint, candidate.class_ids, candidate.text, engine_digest, parameters, ordinal)
            planned.append(Sample(identity, candidate.class_ids, ordinal, derive_seed(identity), prompt))
    return to_table(planned, "key", "prompt")


def plan_shards(plan: pa.Table, images_per_prompt: int, shard_size: int) -> Iterator[tuple[str, pa.Table]]:
    """The plan in shards of at most `shard_size` samples that never cut a prompt (a shard has at least one prompt)."""
    rows = max(shard_size // images_per_prompt, 1) * images_per_prompt
    for index, start in enumerate(range(0, plan.num_rows, rows)):
        yield f"shard-{index:05d}", plan.slice(start, rows)
