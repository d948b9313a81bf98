from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.errors import CorruptData, UsageProblem
from synthseg.store.run_folder import RunFolder


def test_the_same_configuration_resumes(tmp_path: Path) -> None:
    config = load_config("embedded")
    RunFolder.create(str(tmp_path), config)
    again = RunFolder.create(str(tmp_path), config)
    assert again.config() == config
    assert [event["event"] for event in again.events()] == ["run_created", "run_resumed"]


def test_workers_and_batches_are_no_other_run(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    RunFolder.create(str(tmp_path), load_config("embedded", ["execution.workers=1", "execution.image_batch_size=16"]))


def test_another_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    with pytest.raises(UsageProblem, match=r"seed: 0 -> 5.*--out"):
        RunFolder.create(str(tmp_path), load_config("embedded", seed=5))


def test_a_run_is_held_to_the_weights_it_was_begun_with(tmp_path: Path) -> None:
    config = load_config("embedded")
    begun = {"scoring.model": "one", "segmenter.clip_model": "two"}
    RunFolder.create(str(tmp_path), config).hold_to_weights(begun)
    again = RunFolder.create(str(tmp_path), config)
    again.hold_to_weights(begun)
    for setting, old in begun.items():
        with pytest.raises(UsageProblem, match=rf"other weights \({old}\) than {setting} loads now \(new\).*--out"):
            again.hold_to_weights({**begun, setting: "new"})
    assert again.config() == config


def test_a_run_that_noted_no_weights_takes_the_first_it_meets(tmp_path: Path) -> None:
    config = load_config("embedded")
    RunFolder.create(str(tmp_path), config)
    assert "weights" not in json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    RunFolder.open(str(tmp_path)).hold_to_weights({"scoring.model": "first"})
    RunFolder.open(str(tmp_path)).hold_to_weights({"scoring.model": "first", "segmenter.dino_model": "also"})
    for other in ({"scoring.model": "second"}, {"segmenter.dino_model": "second"}):
        with pytest.raises(UsageProblem):
            RunFolder.open(str(tmp_path)).hold_to_weights(other)


def test_the_scorer_that_an_earlier_version_noted_still_holds(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(json.dumps({**record, "scorer_digest": "old"}), encoding="utf-8")
    RunFolder.open(str(tmp_path)).hold_to_weights({"scoring.model": "old", "segmenter.clip_model": "any"})
    with pytest.raises(UsageProblem, match=r"scoring\.model"):
        RunFolder.open(str(tmp_path)).hold_to_weights({"scoring.model": "new"})


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="holds no run"):
        RunFolder.open(str(tmp_path))


def test_a_broken_run_file_is_named(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorruptData, match=r"run\.json"):
        RunFolder.open(str(tmp_path)).config()


def test_metrics_merge_section_by_section(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), load_config("embedded"))
    folder.update_metrics({"labels": {"pseudo_f1": 0.5}})
    folder.update_metrics({"labels": {"relabelled_f1": 0.6}, "images_per_s": 9.0})
    assert folder.metrics() == {"labels": {"pseudo_f1": 0.5, "relabelled_f1": 0.6}, "images_per_s": 9.0}


def test_an_event_cut_short_by_a_kill_is_skipped(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), load_config("embedded"))
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"event": "half')
    assert [event["event"] for event in folder.events()] == ["run_created"]


def test_an_event_tells_no_credentials(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), load_config("embedded"))
    folder.event("worker_error", error="OSError: s3://key:hunter2@bucket/run", attempt=2)
    *_, event = folder.events()
    assert (event["error"], event["attempt"]) == ("OSError: s3://***@bucket/run", 2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_no_other_run(precision: str, tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    settings = [f"{section}.precision={precision}" for section in ("scoring", "classifier", "segmenter")]
    assert load_config("embedded", settings).fingerprint() == load_config("embedded").fingerprint()
    RunFolder.create(str(tmp_path), load_config("embedded", settings))
    with pytest.raises(UsageProblem, match="seed: 0 -> 1"):
        RunFolder.create(str(tmp_path), load_config("embedded", [*settings, "seed=1"]))


def test_a_run_of_an_earlier_version_goes_on_in_what_the_hardware_has(tmp_path: Path) -> None:
    config = load_config("embedded", ["scoring.precision=fp32", "classifier.precision=bf16", "segmenter.precision=bf16"])
    folder = RunFolder.create(str(tmp_path), config)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    del record["hardware"]
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    resumed = RunFolder.create(str(tmp_path), load_config("embedded"))
    # bf16 was the default of earlier versions on any hardware; fp32 somebody had asked for.
    expected = {"scoring.precision": "fp32", "classifier.precision": "auto", "segmenter.precision": "auto"}
    assert resumed.config().precisions() == expected
    resumed.note_precision("images", ["fp32 on cpu"])
    assert folder.config().precisions() == expected


def test_each_start_notes_what_it_computed_in(tmp_path: Path) -> None:
    first = RunFolder.create(str(tmp_path), load_config("embedded"))
    first.note_precision("images", ["fp32 on cpu"])
    first.note_precision("images", ["bf16 on cuda", "fp32 on cpu"])
    first.note_precision("classifier", [])
    time.sleep(0.01)
    RunFolder.create(str(tmp_path), load_config("embedded")).note_precision("segmenter", ["bf16 on cpu"])
    starts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["hardware"]
    assert [start["precision"] for start in starts] == [{"images": ["bf16 on cuda", "fp32 on cpu"]}, {"segmenter": ["bf16 on cpu"]}]
