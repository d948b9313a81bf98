"""Proof that a run is whole: every planned sample has one record and one outcome, and every byte is what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.ids import derive_seed, image_sha256, sample_id
from synthseg.records import PROMPT_CANDIDATE, Section, sample_schema
from synthseg.sample_plan import CONTEXT, image_parameters
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage

STAGE_SECTIONS: dict[Stage, tuple[Section, ...]] = {
    "plan": ("key", "prompt"),
    "images": ("key", "prompt", "image", "score", "labels", "outcome"),
    "labels": ("key", "labels", "outcome"),
}
"""Sections of the sample shards of each stage."""


@dataclass(slots=True)
class VerifyReport:
    """Counts over the whole run; `faults` holds one line for each thing that is wrong."""

    planned: int = 0
    ok: int = 0
    dropped: int = 0
    failed: int = 0
    duplicates: int = 0
    missing: int = 0
    unplanned: int = 0
    per_class: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped_by_reason: dict[str, int] = field(default_factory=dict)
    failed_by_error: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify_run(out: str) -> VerifyReport:
    """Check the run in `out` from its files alone. UsageProblem when there is no run."""
    folder = RunFolder.open(out)
    config = folder.config()
    report = VerifyReport()
    _rows(folder, "prompts", ["prompt_id"], report)
    plan = _rows(folder, "plan", ["sample_id", "class_ids", "ordinal", "seed", "prompt.text"], report)
    images: list[dict[str, Any]] = []
    for table in _tables(folder, "images", ["sample_id", "image.bytes", "image.sha256", "outcome"], report):
        _check_images(table.to_pylist(), report)
        images += table.drop_columns("image").to_pylist()
    labels = _rows(folder, "labels", ["sample_id", "outcome"], report)
    report.planned = len(plan)
    if not plan:
        if not folder.shards.survey("plan")[1]:
            report.faults.append("plan: no sample is planned yet; run the same command again to finish the run")
        return report  # without a plan nothing can be said of the samples
    _check_plan(config, folder, plan, report)
    planned, have = {r["sample_id"] for r in plan}, {r["sample_id"] for r in images}
    _check_ids("images", (r["sample_id"] for r in plan), (r["sample_id"] for r in images), report)
    kept = [r["sample_id"] for r in images if r["outcome"]["status"] == "ok"]
    # A label whose image is missing or cannot be read is told by that image alone.
    _check_ids("labels", kept, (r["sample_id"] for r in labels if r["sample_id"] in have or r["sample_id"] not in planned), report)
    _count_outcomes(config, plan, images, labels, report)
    return report


def stage_schema(stage: Stage) -> pa.Schema:
    """Schema of a stage's sample shards."""
    return sample_schema(*STAGE_SECTIONS[stage])


def _rows(folder: RunFolder, stage: Stage, columns: list[str], report: VerifyReport) -> list[dict[str, Any]]:
    return [row for table in _tables(folder, stage, columns, report) for row in table.to_pylist()]


def _tables(folder: RunFolder, stage: Stage, columns: list[str], report: VerifyReport) -> Iterator[pa.Table]:
    """Each shard that is as it was published, cut to `columns`; what is wrong with the others goes into `report`."""
    schema = PROMPT_CANDIDATE if stage == "prompts" else stage_schema(stage)
    markers, problems = folder.shards.survey(stage)
    report.faults += problems
    for name, marker in markers.items():
        try:
            table = folder.shards.read(stage, name, schema, columns)
        except CorruptData as error:
            report.faults.append(str(error))
            continue
        if table.num_rows != marker.num_rows:
            report.faults.append(f"{stage}/{marker.data}: {table.num_rows} rows, the marker says {marker.num_rows}")
        yield table


def _check_plan(config: RunConfig, folder: RunFolder, plan: list[dict[str, Any]], report: VerifyReport) -> None:
    markers = folder.shards.markers("plan") if plan else {}
    digests = {marker.stats.get("engine_digest") for marker in markers.values()}
    if not plan or len(digests) != 1:
        return
    fingerprint, parameters, engine = config.generation_fingerprint(), image_parameters(config), str(digests.pop())
    wrong = 0
    for row in plan:
        identity = sample_id(fingerprint, row["class_ids"], row["prompt"]["text"], engine, parameters, row["ordinal"])
        wrong += identity != row["sample_id"] or derive_seed(identity) != row["seed"]
    if wrong:
        report.faults.append(f"plan: {wrong} sample ids or seeds do not follow from their content")


def _check_ids(stage: str, expected: Iterable[str], found: Iterable[str], report: VerifyReport) -> None:
    want, have = Counter(expected), Counter(found)
    duplicates = sum(count - 1 for count in have.values() if count > 1)
    missing = sum((want - have).values())
    unplanned = len(have.keys() - want.keys())
    report.duplicates += duplicates
    report.missing += missing
    report.unplanned += unplanned
    for number, what in ((duplicates, "duplicate"), (missing, "missing"), (unplanned, "not planned")):
        if number:
            report.faults.append(f"{stage}: {number} samples {what}")


def _check_images(images: list[dict[str, Any]], report: VerifyReport) -> None:
    for row in images:
        image = row["image"]
        if row["outcome"]["status"] == "failed":
            continue
        if image is None or image["bytes"] is None:
            report.faults.append(f"images: sample {row['sample_id']} has no image and is not marked failed")
        elif image_sha256(image["bytes"]) != image["sha256"]:
            report.faults.append(f"images: sample {row['sample_id']} does not match its sha256")


def _count_outcomes(
    config: RunConfig,
    plan: list[dict[str, Any]],
    images: list[dict[str, Any]],
    labels: list[dict[str, Any]],
    report: VerifyReport,
) -> None:
    final = {row["sample_id"]: row["outcome"] for row in images}
    final.update({row["sample_id"]: row["outcome"] for row in labels})
    names = {info.class_id: info.name for info in config.class_infos()}
    reasons: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for row in plan:
        owner = names[row["class_ids"][0]] if row["class_ids"] else CONTEXT
        counts = report.per_class.setdefault(owner, {"planned": 0, "ok": 0, "dropped": 0, "failed": 0})
        counts["planned"] += 1
        found = final.get(row["sample_id"])
        if found is None:
            continue
        counts[found["status"]] += 1
        if found["status"] == "dropped":
            reasons[found["reason"]] += 1
        elif found["status"] == "failed":
            errors[found["error"]] += 1
    report.dropped_by_reason, report.failed_by_error = dict(reasons.most_common()), dict(errors.most_common())
    report.ok, report.dropped, report.failed = (sum(c[s] for c in report.per_class.values()) for s in ("ok", "dropped", "failed"))
    if report.ok + report.dropped + report.failed != report.planned:
        report.faults.append(f"outcomes: {report.ok} ok + {report.dropped} dropped + {report.failed} failed != {report.planned} planned")
