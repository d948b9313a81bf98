"""Files of a run that cannot be read: each is named, and the rest is counted right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.errors import CorruptData
from synthseg.report import build_report
from synthseg.report.status import read_status
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import verify_run


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"null", "holds null and no JSON object"),
        (b"[1, 2]", r"holds \[1, 2\] and no JSON object"),
        (b"", "cannot be read"),
        (b'{"config": {"pre', "cannot be read"),
        (b"\xff\xfe{", "cannot be read"),
        (b"{}", "holds no configuration"),
        (b'{"config": null}', "holds no configuration"),
    ],
)
def test_a_run_json_that_is_none_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    config = load_config("embedded")
    for reader in (verify_run, read_status, build_report, lambda out: RunFolder.create(out, config)):
        with pytest.raises(CorruptData, match=f"{tmp_path}/run.json: {says}.*; choose another --out"):
            reader(str(tmp_path))


def test_a_run_of_a_newer_version_names_that_version(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    record["versions"]["synthseg"] = "9.0"
    record["config"]["images"]["depth_model"] = "new"
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CorruptData, match=r"was written by SynthSeg 9\.0 and cannot be read by .*images\.depth_model.*use that version"):
        read_status(str(tmp_path))


def test_a_run_that_was_begun_with_infinity_still_opens(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    record["config"]["execution"]["stall_timeout_s"] = float("inf")
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert RunFolder.open(str(tmp_path)).config().execution.stall_timeout_s == float("inf")
    assert RunFolder.create(str(tmp_path), load_config("embedded")).out == str(tmp_path)


@pytest.mark.parametrize("content", [b'{"samples": {"pl', b"[]", b"null", b"\x00"])
def test_metrics_that_are_none_stop_a_run_at_its_start_and_are_told_by_status(content: bytes, tmp_path: Path) -> None:
    config = load_config("embedded")
    RunFolder.create(str(tmp_path), config)
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(CorruptData, match=f"{tmp_path}/metrics.json: .*; delete it: the same command measures again"):
        RunFolder.create(str(tmp_path), config)
    (problem,) = read_status(str(tmp_path)).unreadable
    assert problem.startswith(f"{tmp_path}/metrics.json: ")
    assert "metrics.json cannot be read" in Path(build_report(str(tmp_path))).read_text(encoding="utf-8")


def test_lines_that_are_no_event_are_passed_over(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), load_config("embedded"))
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('null\n3\n[1]\n"x"\n')
    assert [event["event"] for event in folder.events()] == ["run_created"]
    assert read_status(str(tmp_path)).last_event["event"] == "run_created"


def test_a_clock_that_was_wrong_leaves_a_page_without_a_date(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    (tmp_path / "events.jsonl").write_text('{"event": "run_created", "time": 1e30}\n', encoding="utf-8")
    assert Path(build_report(str(tmp_path))).stat().st_size > 1000
