"""Folds by content, so that no image is relabelled by a model that saw a sibling of it."""

from __future__ import annotations

from synthseg.ids import digest


def fold_of(prompt_id: str, num_folds: int) -> int:
    """Fold (0..num_folds - 1) of all images of a prompt: its id alone decides."""
    return int(digest("fold", prompt_id), 16) % num_folds
