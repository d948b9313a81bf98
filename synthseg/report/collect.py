"""What the page shows, read from a run's folder shard by shard; images stay in memory only where the page shows them."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.records import ABSENT, PRESENT, PROMPT_CANDIDATE, UNKNOWN
from synthseg.report.cut_prompts import cut_prompts_note, num_cut_prompts
from synthseg.report.pictures import image_iou, mask_picture, read_mask, thumbnail
from synthseg.sample_plan import CONTEXT
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage
from synthseg.store.verify import stage_schema

MAX_PICTURES: Final = 240
"""Thumbnails of the gallery, shared out over the classes; keeps the page at a few MB."""
MAX_PER_CLASS: Final = 16
MAX_DROPPED: Final = 24
FIELD_ASSETS: Final = "report_assets/field.json"
STATES: Final = {PRESENT: "present", UNKNOWN: "unknown", ABSENT: "absent"}
DROPPED_STATE: Final = "dropped"


@dataclass(frozen=True, slots=True)
class Chip:
    """One class of a label vector: `state` is present, unknown or absent."""

    name: str
    state: str


@dataclass(slots=True)
class Picture:
    """One sample of the gallery."""

    sample_id: str
    owner: str
    prompt: str
    uri: str
    status: str
    reason: str
    clip_score: float
    class_similarity: float
    neighbour_similarity: float
    before: list[Chip]
    after: list[Chip]


@dataclass(slots=True)
class PromptStats:
    """Every candidate that was ever considered."""

    neighbour: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    """Cosine to the nearest accepted prompt, by whether the candidate was accepted."""
    class_similarity: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    quality: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    by_round: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """Candidates and accepted of each round."""
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class ImageStats:
    """Scores of every image, by class, and what became of the labels."""

    kept: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of (label before, label after) over samples and classes."""
    gallery: list[Picture] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FieldPanel:
    """One held-out image with its masks as data URIs."""

    name: str
    image: str
    truth: str
    prediction: str
    control: str
    prediction_iou: float
    control_iou: float


@dataclass(slots=True)
class Findings:
    """Everything the page is made of. `notes` says what could not be read, and what a reader should know of the images."""

    config: RunConfig
    run: dict[str, Any]
    metrics: dict[str, Any]
    prompts: PromptStats
    images: ImageStats
    field_panels: list[FieldPanel]
    field_classes: list[int]
    """Class indices that occur in the panels, in class order."""
    first_event_s: float | None
    notes: list[str]


def collect(folder: RunFolder) -> Findings:
    """Read the run in `folder`. What is missing or unreadable is left out and noted; only run.json must be there."""
    config = folder.config()
    notes: list[str] = []
    run = folder.record()
    metrics: dict[str, Any] = {}
    try:
        metrics = folder.metrics()
    except CorruptData:
        notes.append("metrics.json cannot be read; delete it: the same command measures again")
    if num_cut := num_cut_prompts(folder.shards):
        notes.append(cut_prompts_note(num_cut))
    panels, present = _field_panels(folder, notes)
    return Findings(
        config=config,
        run=run,
        metrics=metrics,
        prompts=_prompts(folder, notes),
        images=_images(folder, config, notes),
        field_panels=panels,
        field_classes=sorted(present),
        first_event_s=next((event["time"] for event in folder.events() if "time" in event), None),
        notes=notes,
    )


def _rows(folder: RunFolder, stage: Stage, notes: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows of each readable shard of a stage."""
    schema = PROMPT_CANDIDATE if stage == "prompts" else stage_schema(stage)
    markers, problems = folder.shards.survey(stage)
    notes += problems
    for name in markers:
        try:
            yield folder.shards.read(stage, name, schema).to_pylist()
        except CorruptData as error:
            notes.append(str(error))


def _prompts(folder: RunFolder, notes: list[str]) -> PromptStats:
    stats = PromptStats()
    for rows in _rows(folder, "prompts", notes):
        for row in rows:
            accepted = bool(row["accepted"])
            for name, values in (
                ("neighbour_similarity", stats.neighbour),
                ("class_similarity", stats.class_similarity),
                ("quality", stats.quality),
            ):
                if row[name] is not None and math.isfinite(row[name]):
                    values[accepted].append(row[name])
            stats.by_round[row["round"]][0] += 1
            stats.by_round[row["round"]][1] += accepted
            if not accepted:
                stats.reasons[row["reason"] or "no reason given"] += 1
    return stats


def _images(folder: RunFolder, config: RunConfig, notes: list[str]) -> ImageStats:
    names = {info.class_id: info.name for info in config.class_infos()}
    order = [info.name for info in config.class_infos()]
    after = {row["sample_id"]: row for rows in _rows(folder, "labels", notes) for row in rows}
    stats = ImageStats()
    quota = max(2, min(MAX_PER_CLASS, MAX_PICTURES // (len(order) + 1)))
    shown: Counter[str] = Counter()
    prompts_shown: set[str] = set()
    for rows in _rows(folder, "images", notes):
        for row in rows:
            owner = names.get(row["class_ids"][0], CONTEXT) if row["class_ids"] else CONTEXT
            relabelled = after.get(row["sample_id"])
            outcome = relabelled["outcome"] if relabelled else row["outcome"]
            kept = outcome["status"] == "ok"
            score = (row["score"] or {}).get("clip_score")
            if score is not None and math.isfinite(score):
                (stats.kept if kept else stats.lost)[owner].append(score)
            if relabelled:
                _count_changes(stats, row, relabelled)
            group, limit = (owner, quota) if kept else (f"dropped {owner}", max(1, MAX_DROPPED // len(order)))
            one_each = kept and row["prompt"]["prompt_id"] in prompts_shown
            if row["image"] is None or row["image"]["bytes"] is None or one_each or shown[group] >= limit:
                continue
            shown[group] += 1
            prompts_shown.add(row["prompt"]["prompt_id"])
            stats.gallery.append(_picture(row, relabelled, outcome, owner, order))
    stats.gallery = _arranged(stats.gallery, [*order, CONTEXT])
    return stats


def _arranged(pictures: list[Picture], owners: list[str]) -> list[Picture]:
    """Kept pictures class by class, then the lost ones with the classes in turn."""
    kept = [p for name in owners for p in pictures if p.status == "ok" and p.owner == name]
    lost = [[p for p in pictures if p.status != "ok" and p.owner == name] for name in owners]
    return kept + [p for row in zip_longest(*lost) for p in row if p is not None]


def _count_changes(stats: ImageStats, row: Mapping[str, Any], relabelled: Mapping[str, Any]) -> None:
    dropped = relabelled["outcome"]["status"] != "ok"
    for old, new in zip(row["labels"]["label"], relabelled["labels"]["label"], strict=True):
        stats.changes[STATES[old], DROPPED_STATE if dropped else STATES[new]] += 1


def _picture(
    row: Mapping[str, Any], relabelled: Mapping[str, Any] | None, outcome: Mapping[str, Any], owner: str, order: list[str]
) -> Picture:
    return Picture(
        sample_id=row["sample_id"],
        owner=owner,
        prompt=row["prompt"]["text"],
        uri=thumbnail(row["image"]["bytes"]),
        status=outcome["status"],
        reason=outcome["reason"] or outcome["error"] or "",
        clip_score=_finite((row["score"] or {}).get("clip_score")),
        class_similarity=_finite(row["prompt"]["class_similarity"]),
        neighbour_similarity=_finite(row["prompt"]["neighbour_similarity"]),
        before=_chips(row["labels"], order, owner),
        after=_chips(relabelled["labels"], order, owner) if relabelled else [],
    )


def _chips(labels: Mapping[str, Any] | None, order: list[str], owner: str) -> list[Chip]:
    """Classes that are present or unknown, and the asked one whatever it is."""
    vector = (labels or {}).get("label") or []
    pairs = zip(order, vector, strict=False)
    return [Chip(name, STATES[value]) for name, value in pairs if value != ABSENT or name == owner]


def _field_panels(folder: RunFolder, notes: list[str]) -> tuple[list[FieldPanel], set[int]]:
    panels: list[FieldPanel] = []
    present: set[int] = set()
    if not folder.files.exists(FIELD_ASSETS):
        return panels, present
    try:
        for item in json.loads(folder.files.read(FIELD_ASSETS)):
            masks = {kind: read_mask(folder.files.read(item[kind])) for kind in ("truth", "prediction", "control")}
            for mask in masks.values():
                present.update(int(i) for i in set(mask.ravel().tolist()))
            panels.append(
                FieldPanel(
                    name=item["name"],
                    image=thumbnail(folder.files.read(item["image"]), 256),
                    truth=mask_picture(masks["truth"]),
                    prediction=mask_picture(masks["prediction"]),
                    control=mask_picture(masks["control"]),
                    prediction_iou=image_iou(masks["truth"], masks["prediction"]),
                    control_iou=image_iou(masks["truth"], masks["control"]),
                )
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        notes.append(f"{FIELD_ASSETS}: {error}")
    return panels, present


def _finite(value: float | None) -> float:
    return float(value) if value is not None and math.isfinite(value) else 0.0
