"""How many images of a run were painted from a prompt of which the image engine read a part only."""

from __future__ import annotations

from typing import Final

from synthseg.store.shards import ShardStore

CUT_PROMPTS: Final = "cut_prompts"
"""Entry of an images shard's stats that holds its number of them; runs of earlier versions have none."""


def num_cut_prompts(shards: ShardStore) -> int:
    """Their number in all shards that are published and can be read."""
    return sum(int(marker.stats.get(CUT_PROMPTS, 0)) for marker in shards.survey("images")[0].values())


def cut_prompts_note(number: int) -> str:
    """A sentence on them for the user."""
    images = "1 image was painted from a prompt" if number == 1 else f"{number:,} images were painted from prompts"
    return f"{images} longer than the image model reads; what came after that had no effect"
