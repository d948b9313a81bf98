"""Proof that a run is whole: every planned sample has one record and one outcome, and every byte is what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.ids import derive_seed, image_sha256, sample_id
from synthseg.records import CANDIDATE_SCHEMA, Outcome, Sample, SectionName, from_table, present, sample_schema
from synthseg.sample_plan import CONTEXT, image_parameters
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage

STAGE_SECTIONS: dict[Stage, tuple[SectionName, ...]] = {
    "plan": ("key", "prompt"),
    "images": ("key", "prompt", "image", "score", "labels", "outcome"),
    "labels": ("key", "labels", "outcome"),
    "masks": ("key", "mask", "outcome"),
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
    for _ in _tables(folder, "prompts", ["prompt_id"], report):
        pass
    plan = _samples(folder, "plan", ["sample_id", "class_ids", "ordinal", "seed", "prompt.text"], report)
    ends: dict[str, Outcome] = {}
    images: list[str] = []
    for table in _tables(folder, "images", ["sample_id", "image.bytes", "image.sha256", "outcome"], report):
        made = from_table(table)
        _check_images(made, report)
        images += [sample.sample_id for sample in made]
        ends.update((sample.sample_id, present(sample.outcome)) for sample in made)
    relabelled = _samples(folder, "labels", ["sample_id", "outcome"], report)
    report.planned = len(plan)
    if not plan:
        if not folder.shards.survey("plan")[1]:
            report.faults.append("plan: no sample is planned yet; run the same command again to finish the run")
        return report  # without a plan nothing can be said of the samples
    _check_plan(config, folder, plan, report)
    planned = {sample.sample_id for sample in plan}
    _check_ids("images", (sample.sample_id for sample in plan), images, report)
    kept = [sample_id for sample_id in images if ends[sample_id].status == "ok"]
    # A label whose image is missing or cannot be read is told by that image alone.
    labels = [sample.sample_id for sample in relabelled if sample.sample_id in ends or sample.sample_id not in planned]
    _check_ids("labels", kept, labels, report)
    ends.update((sample.sample_id, present(sample.outcome)) for sample in relabelled)
    _check_masks(folder, [sample.sample_id for sample in relabelled if sample.is_ok], report)
    _count_outcomes(config, plan, ends, report)
    return report


def stage_schema(stage: Stage) -> pa.Schema:
    """Schema of a stage's sample shards."""
    return sample_schema(*STAGE_SECTIONS[stage])


def _samples(folder: RunFolder, stage: Stage, columns: list[str], report: VerifyReport) -> list[Sample]:
    return [sample for table in _tables(folder, stage, columns, report) for sample in from_table(table)]


def _tables(folder: RunFolder, stage: Stage, columns: list[str], report: VerifyReport) -> Iterator[pa.Table]:
    """Each shard that is as it was published, cut to `columns`; what is wrong with the others goes into `report`."""
    schema = CANDIDATE_SCHEMA if stage == "prompts" else stage_schema(stage)
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


def _check_plan(config: RunConfig, folder: RunFolder, plan: list[Sample], report: VerifyReport) -> None:
    markers = folder.shards.markers("plan") if plan else {}
    digests = {marker.stats.get("engine_digest") for marker in markers.values()}
    if not plan or len(digests) != 1:
        return
    fingerprint, parameters, engine = config.generation_fingerprint(), image_parameters(config), str(digests.pop())
    wrong = 0
    for sample in plan:
        identity = sample_id(fingerprint, sample.class_ids, sample.prompt.text, engine, parameters, sample.ordinal)
        wrong += identity != sample.sample_id or derive_seed(identity) != sample.seed
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


def _check_images(samples: list[Sample], report: VerifyReport) -> None:
    for sample in samples:
        image = sample.image
        if present(sample.outcome).status == "failed":
            continue
        if image is None or not image.encoded:
            report.faults.append(f"images: sample {sample.sample_id} has no image and is not marked failed")
        elif image_sha256(image.encoded) != image.sha256:
            report.faults.append(f"images: sample {sample.sample_id} does not match its sha256")


def _check_masks(folder: RunFolder, expected: list[str], report: VerifyReport) -> None:
    """One mask for each sample that relabelling kept, once the stage has begun. Earlier versions published none."""
    found: list[str] = []
    for table in _tables(folder, "masks", ["sample_id", "mask.bytes", "mask.sha256"], report):
        for sample in from_table(table):
            mask = present(sample.mask)
            found.append(sample.sample_id)
            if image_sha256(mask.encoded) != mask.sha256:
                report.faults.append(f"masks: sample {sample.sample_id} does not match its sha256")
    if found or "masks" in folder.metrics():
        _check_ids("masks", expected, found, report)


def _count_outcomes(config: RunConfig, plan: list[Sample], ends: Mapping[str, Outcome], report: VerifyReport) -> None:
    names = {info.class_id: info.name for info in config.class_infos()}
    reasons: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for sample in plan:
        owner = names[sample.class_ids[0]] if sample.class_ids else CONTEXT
        counts = report.per_class.setdefault(owner, {"planned": 0, "ok": 0, "dropped": 0, "failed": 0})
        counts["planned"] += 1
        found = ends.get(sample.sample_id)
        if found is None:
            continue
        counts[found.status] += 1
        if found.status == "dropped":
            reasons[found.reason] += 1
        elif found.status == "failed":
            errors[found.error] += 1
    report.dropped_by_reason, report.failed_by_error = dict(reasons.most_common()), dict(errors.most_common())
    report.ok, report.dropped, report.failed = (sum(c[s] for c in report.per_class.values()) for s in ("ok", "dropped", "failed"))
    if report.ok + report.dropped + report.failed != report.planned:
        report.faults.append(f"outcomes: {report.ok} ok + {report.dropped} dropped + {report.failed} failed != {report.planned} planned")
