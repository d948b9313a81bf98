from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.errors import UsageProblem
from synthseg.report.status import read_status
from synthseg.store.run_folder import RunFolder


def test_status_counts_what_is_published(made_up_run: Path) -> None:
    status = read_status(str(made_up_run))
    stages = {stage.name: stage for stage in status.stages}
    metrics = json.loads((made_up_run / "metrics.json").read_text(encoding="utf-8"))
    assert stages["prompts"].num_shards == 6
    assert stages["images"].num_rows == stages["plan"].num_rows == metrics["samples"]["planned"]
    assert stages["segmenter"].seconds == metrics["stage_seconds"]["segmenter"]
    assert json.loads(json.dumps(status.to_json()))["preset"] == "embedded"


def test_a_run_is_finished_when_it_says_so(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), load_config("embedded"))
    assert not read_status(str(tmp_path)).finished
    folder.event("run_finished", ok=1)
    folder.event("run_resumed")
    assert read_status(str(tmp_path)).finished


def test_no_run_is_a_usage_problem(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="holds no run"):
        read_status(str(tmp_path))
