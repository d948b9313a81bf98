"""The stages of a run, by name and in order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Each stage stands on what the ones before it published."""

    prompts = "prompts"
    images = "images"
    classifier = "classifier"
    relabel = "relabel"
    masks = "masks"
    segmenter = "segmenter"
    evaluate = "evaluate"
    report = "report"
