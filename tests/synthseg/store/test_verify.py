"""A made-up finished run, then one thing wrong at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthseg.config import load_config
from synthseg.config.schema import RunConfig
from synthseg.ids import image_sha256
from synthseg.sample_plan import plan_samples
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema, verify_run
from tests.rows import candidates, outcome, samples

ENGINE = "engine:1"


def accepted(config: RunConfig) -> list[dict[str, Any]]:
    blank = {"round": 0, "parent_id": "", "quality": 1.0, "class_similarity": 1.0, "neighbour_similarity": 0.0, "engine": "t"}
    classes = config.class_infos()
    target = [{"prompt_id": info.name, "text": f"a {info.display}", "class_ids": [info.class_id], **blank} for info in classes]
    return [*target, {"prompt_id": "none", "text": "a meadow", "class_ids": [], **blank}]


def image_row(row: dict[str, Any], index: int) -> dict[str, Any]:
    made = dict(row)
    if index == 3:
        return {**made, "outcome": outcome("failed", "images", error="boom")}
    content = f"image {index}".encode()
    made["image"] = {"bytes": content, "width": 1, "height": 1, "sha256": image_sha256(content), "engine": ENGINE, "parameters": "{}"}
    dropped = index % 4 == 0
    made["outcome"] = outcome("dropped" if dropped else "ok", "images", reason="not_in_top_k" if dropped else "")
    return made


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    config = load_config("embedded", classes=["cat", "dog"])
    folder = RunFolder.create(str(tmp_path), config)
    plan = plan_samples(config, candidates(accepted(config)), ENGINE)
    folder.shards.publish("plan", "plan", plan, {"engine_digest": ENGINE, "shard_size": 64})
    made = [image_row(row, i) for i, row in enumerate(plan.to_pylist())]
    publish_images(folder, made)
    kept = [row for row in made if row["outcome"]["status"] == "ok"]
    labels = [{**{k: row[k] for k in ("sample_id", "class_ids", "ordinal", "seed")}, "outcome": outcome("ok", "relabel")} for row in kept]
    folder.shards.publish("labels", "shard-00000", samples(labels, "key", "labels", "outcome"))
    return folder


def publish_masks(folder: RunFolder, labels: list[dict[str, Any]]) -> None:
    content = {"bytes": b"mask", "sha256": image_sha256(b"mask"), "source": "labels", "parameters": "{}"}
    rows = [{**row, "labels": None, "mask": content, "outcome": outcome("ok", "masks")} for row in labels]
    folder.shards.publish("masks", "shard-00000", samples(rows, "key", "mask", "outcome"))


def test_masks_are_checked_once_they_have_begun(run: RunFolder) -> None:
    labels = run.shards.read_all("labels", stage_schema("labels")).to_pylist()
    publish_masks(run, labels)
    assert verify_run(run.out).sound
    publish_masks(run, labels[1:])
    assert verify_run(run.out).faults == ["masks: 1 samples missing"]
    run.shards.files.delete("masks/shard-00000.json")
    assert verify_run(run.out).sound, "not begun"
    run.update_metrics({"masks": {"unknown_share": 0.1}})
    assert verify_run(run.out).faults == [f"masks: {len(labels)} samples missing"]


def publish_images(folder: RunFolder, rows: list[dict[str, Any]], name: str = "shard-00000") -> None:
    folder.shards.publish("images", name, samples(rows, "key", "prompt", "image", "score", "labels", "outcome"))


def image_rows(folder: RunFolder) -> list[dict[str, Any]]:
    from synthseg.store.verify import stage_schema

    return folder.shards.read_all("images", stage_schema("images")).to_pylist()


def test_a_whole_run_is_sound_and_adds_up(run: RunFolder) -> None:
    report = verify_run(run.out)
    assert report.faults == []
    assert report.planned == report.ok + report.dropped + report.failed == 12
    assert report.failed == 1
    assert report.per_class["(context)"]["planned"] == 4
    assert report.dropped_by_reason == {"not_in_top_k": 3}
    assert report.failed_by_error == {"boom": 1}


def test_a_missing_sample_is_counted(run: RunFolder) -> None:
    publish_images(run, image_rows(run)[:-1])
    report = verify_run(run.out)
    assert report.missing >= 1
    assert any("missing" in fault for fault in report.faults)


def test_a_duplicate_is_counted(run: RunFolder) -> None:
    publish_images(run, image_rows(run)[:1], "shard-00001")
    report = verify_run(run.out)
    assert report.duplicates >= 1
    assert not report.sound


def test_a_changed_image_is_found(run: RunFolder) -> None:
    rows = image_rows(run)
    rows[1]["image"]["bytes"] = b"other"
    publish_images(run, rows)
    assert any("sha256" in fault for fault in verify_run(run.out).faults)


def test_a_forged_seed_is_found(run: RunFolder) -> None:
    from synthseg.store.verify import stage_schema

    rows = run.shards.read_all("plan", stage_schema("plan")).to_pylist()
    rows[0]["seed"] += 1
    run.shards.publish("plan", "plan", samples(rows, "key", "prompt"), {"engine_digest": ENGINE, "shard_size": 64})
    assert any("do not follow" in fault for fault in verify_run(run.out).faults)


def test_a_truncated_shard_is_a_fault_not_a_crash(run: RunFolder) -> None:
    marker = run.shards.markers("images")["shard-00000"]
    path = Path(run.out) / "images" / marker.data
    path.write_bytes(path.read_bytes()[:100])
    report = verify_run(run.out)
    assert any(marker.data in fault for fault in report.faults)


def test_one_unreadable_marker_costs_its_own_samples_only(run: RunFolder) -> None:
    rows = image_rows(run)
    publish_images(run, rows[:8])
    publish_images(run, rows[8:], "shard-00001")
    publish_images(run, [], "shard-00002")
    broken = Path(run.out) / "images" / "shard-00001.json"
    broken.write_text("[]", encoding="utf-8")
    (broken.parent / "shard-00002.json").write_text("{", encoding="utf-8")
    report = verify_run(run.out)
    assert (report.planned, report.missing, report.unplanned, report.duplicates) == (12, 4, 0, 0)
    assert report.ok + report.dropped + report.failed == 8 + sum(row["outcome"]["status"] == "ok" for row in rows[8:])
    named = [fault.partition(":")[0] for fault in report.faults if "not a marker" in fault]
    assert named == ["images/shard-00001.json", "images/shard-00002.json"]


def test_an_unreadable_plan_is_one_fault_and_no_sample_counts_as_unplanned(run: RunFolder) -> None:
    (Path(run.out) / "plan" / "plan.json").write_text("null", encoding="utf-8")
    report = verify_run(run.out)
    assert (report.unplanned, report.missing) == (0, 0)
    (fault,) = report.faults
    assert fault.startswith("plan/plan.json: not a marker")
