"""What the page shows, read from a run's folder shard by shard; images stay in memory only where the page shows them."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

import pyarrow as pa

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.records import ABSENT, CANDIDATE_SCHEMA, PRESENT, UNKNOWN, Image, Labels, Sample, candidates_from_table, from_table, present
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
MAX_MASKS: Final = 12
"""Pseudo-masks that are shown, shared out over the classes."""
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
class MaskPanel:
    """One training image with its pseudo-mask as data URIs."""

    owner: str
    image: str
    mask: str


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
    mask_panels: list[MaskPanel]
    mask_classes: list[int]
    """Class indices that occur in the pseudo-masks shown, in class order."""
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
    images = _images(folder, config, notes)
    mask_panels, in_masks = _mask_panels(folder, images.gallery, notes)
    panels, in_panels = _field_panels(folder, notes)
    return Findings(
        config=config,
        run=run,
        metrics=metrics,
        prompts=_prompts(folder, notes),
        images=images,
        mask_panels=mask_panels,
        mask_classes=sorted(in_masks),
        field_panels=panels,
        field_classes=sorted(in_panels),
        first_event_s=next((event["time"] for event in folder.events() if "time" in event), None),
        notes=notes,
    )


def _tables(folder: RunFolder, stage: Stage, notes: list[str]) -> Iterator[pa.Table]:
    """Each readable shard of a stage."""
    schema = CANDIDATE_SCHEMA if stage == "prompts" else stage_schema(stage)
    markers, problems = folder.shards.survey(stage)
    notes += problems
    for name in markers:
        try:
            yield folder.shards.read(stage, name, schema)
        except CorruptData as error:
            notes.append(str(error))


def _prompts(folder: RunFolder, notes: list[str]) -> PromptStats:
    stats = PromptStats()
    for table in _tables(folder, "prompts", notes):
        for candidate in candidates_from_table(table):
            for value, values in (
                (candidate.neighbour_similarity, stats.neighbour),
                (candidate.class_similarity, stats.class_similarity),
                (candidate.quality, stats.quality),
            ):
                if value is not None and math.isfinite(value):
                    values[candidate.accepted].append(value)
            stats.by_round[candidate.round][0] += 1
            stats.by_round[candidate.round][1] += candidate.accepted
            if not candidate.accepted:
                stats.reasons[candidate.reason or "no reason given"] += 1
    return stats


def _images(folder: RunFolder, config: RunConfig, notes: list[str]) -> ImageStats:
    names = {info.class_id: info.name for info in config.class_infos()}
    order = [info.name for info in config.class_infos()]
    after = {sample.sample_id: sample for table in _tables(folder, "labels", notes) for sample in from_table(table)}
    stats = ImageStats()
    quota = max(2, min(MAX_PER_CLASS, MAX_PICTURES // (len(order) + 1)))
    shown: Counter[str] = Counter()
    prompts_shown: set[str] = set()
    for table in _tables(folder, "images", notes):
        for sample in from_table(table):
            owner = names.get(sample.class_ids[0], CONTEXT) if sample.class_ids else CONTEXT
            relabelled = after.get(sample.sample_id)
            kept = (relabelled or sample).is_ok
            if sample.score is not None and math.isfinite(sample.score.clip_score):
                (stats.kept if kept else stats.lost)[owner].append(sample.score.clip_score)
            if relabelled:
                _count_changes(stats, sample, relabelled)
            group, limit = (owner, quota) if kept else (f"dropped {owner}", max(1, MAX_DROPPED // len(order)))
            one_each = kept and sample.prompt.prompt_id in prompts_shown
            if sample.image is None or not sample.image.encoded or one_each or shown[group] >= limit:
                continue
            shown[group] += 1
            prompts_shown.add(sample.prompt.prompt_id)
            stats.gallery.append(_picture(sample, sample.image, relabelled, owner, order))
    stats.gallery = _arranged(stats.gallery, [*order, CONTEXT])
    return stats


def _arranged(pictures: list[Picture], owners: list[str]) -> list[Picture]:
    """Kept pictures class by class, then the lost ones with the classes in turn."""
    kept = [p for name in owners for p in pictures if p.status == "ok" and p.owner == name]
    lost = [[p for p in pictures if p.status != "ok" and p.owner == name] for name in owners]
    return kept + [p for row in zip_longest(*lost) for p in row if p is not None]


def _count_changes(stats: ImageStats, sample: Sample, relabelled: Sample) -> None:
    for old, new in zip(present(sample.labels).label, present(relabelled.labels).label, strict=True):
        stats.changes[STATES[old], STATES[new] if relabelled.is_ok else DROPPED_STATE] += 1


def _picture(sample: Sample, image: Image, relabelled: Sample | None, owner: str, order: list[str]) -> Picture:
    outcome = present((relabelled or sample).outcome)
    return Picture(
        sample_id=sample.sample_id,
        owner=owner,
        prompt=sample.prompt.text,
        uri=thumbnail(image.encoded),
        status=outcome.status,
        reason=outcome.reason or outcome.error or "",
        clip_score=_finite(sample.score.clip_score if sample.score else None),
        class_similarity=_finite(sample.prompt.class_similarity),
        neighbour_similarity=_finite(sample.prompt.neighbour_similarity),
        before=_chips(sample.labels, order, owner),
        after=_chips(relabelled.labels, order, owner) if relabelled else [],
    )


def _chips(labels: Labels | None, order: list[str], owner: str) -> list[Chip]:
    """Classes that are present or unknown, and the asked one whatever it is."""
    pairs = zip(order, labels.label if labels else (), strict=False)
    return [Chip(name, STATES[value]) for name, value in pairs if value != ABSENT or name == owner]


def _mask_panels(folder: RunFolder, gallery: list[Picture], notes: list[str]) -> tuple[list[MaskPanel], set[int]]:
    """Pseudo-masks of some kept pictures, the classes in turn, and the class indices in them."""
    by_owner: dict[str, list[Picture]] = defaultdict(list)
    for picture in gallery:
        if picture.status == "ok" and picture.owner != CONTEXT:
            by_owner[picture.owner].append(picture)
    chosen = [picture for row in zip_longest(*by_owner.values()) for picture in row if picture is not None][:MAX_MASKS]
    wanted = {picture.sample_id for picture in chosen}
    found: dict[str, bytes] = {}
    for table in _tables(folder, "masks", notes):
        found.update((s.sample_id, present(s.mask).encoded) for s in from_table(table) if s.sample_id in wanted)
        if len(found) == len(wanted):
            break
    panels: list[MaskPanel] = []
    classes: set[int] = set()
    for picture in chosen:
        if picture.sample_id in found:
            mask = read_mask(found[picture.sample_id])
            classes.update(int(index) for index in set(mask.ravel().tolist()))
            panels.append(MaskPanel(picture.owner, picture.uri, mask_picture(mask)))
    return panels, classes


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
