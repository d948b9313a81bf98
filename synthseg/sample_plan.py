"""The plan: every sample a run will make, decided by the accepted prompts alone, and cut into shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from synthseg.config.schema import RunConfig
from synthseg.ids import derive_seed, sample_id
from synthseg.records import PROMPT, samples

PROMPT_KEYS = [field.name for field in PROMPT]

CONTEXT = "(context)"
"""Name under which samples that were asked for without any class are counted."""


def image_parameters(config: RunConfig) -> dict[str, Any]:
    """What an image depends on besides prompt, seed and engine."""
    images = config.images
    return {"width": images.width, "height": images.height, "negative_prompt": images.negative_prompt, **images.parameters}


def plan_samples(config: RunConfig, accepted: list[dict[str, Any]], engine_digest: str) -> pa.Table:
    """Samples (sections key and prompt) for `accepted` prompt rows, in their order, `images_per_prompt` each.

    A prompt's own class comes first in its class ids. The candidates of a prompt stand together, so the selection among
    them never looks beyond a shard.
    """
    fingerprint, parameters = config.generation_fingerprint(), image_parameters(config)
    rows = []
    for prompt in accepted:
        for ordinal in range(config.images.images_per_prompt):
            identity = sample_id(fingerprint, prompt["class_ids"], prompt["text"], engine_digest, parameters, ordinal)
            rows.append(
                {
                    "sample_id": identity,
                    "class_ids": prompt["class_ids"],
                    "ordinal": ordinal,
                    "seed": derive_seed(identity),
                    "prompt": {key: prompt[key] for key in PROMPT_KEYS},
                }
            )
    return samples(rows, "key", "prompt")


def plan_shards(plan: pa.Table, images_per_prompt: int, shard_size: int) -> Iterator[tuple[str, pa.Table]]:
    """The plan in shards of at most `shard_size` samples that never cut a prompt (a shard has at least one prompt)."""
    rows = max(shard_size // images_per_prompt, 1) * images_per_prompt
    for index, start in enumerate(range(0, plan.num_rows, rows)):
        yield f"shard-{index:05d}", plan.slice(start, rows)
