"""What the stage `evaluate` makes of its workers' chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.context import RunContext
from pipelines.stages.evaluate import measure
from synthseg.config import load_config
from synthseg.errors import CorruptData
from synthseg.progress import SilentProgress
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder

CONFIG = load_config("embedded", ["evaluation.dataset=folder:/data/mine"], classes=["cat", "dog"])


def measured(present: list[list[bool]], counts: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`measure` over one chunk of the split, whose worker found these classes and this confusion matrix."""

    def stream(self: RunContext, stage: Stage, worker: object, arguments: object, chunks: list[pa.Table]) -> Iterator[dict[str, Any]]:
        (chunk,) = chunks
        yield {
            "precision": "fp32",
            "matrices": {"segmenter": counts, "control": counts},
            "probabilities": [[0.9, 0.1]] * chunk.num_rows,
            "present": present,
            "shown": [],
            "count": chunk.num_rows,
        }

    monkeypatch.setattr(RunContext, "stream", stream)
    return measure(RunContext(CONFIG, RunFolder.create(str(tmp_path), CONFIG), SilentProgress()), len(present))


def test_a_split_without_a_class_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        CorruptData, match=r"^evaluation\.dataset: none of the 2 masks of folder:/data/mine holds a pixel of the run's classes"
    ):
        measured([[False, False]] * 2, [[96, 4, 0], [0, 0, 0], [0, 0, 0]], tmp_path, monkeypatch)


def test_one_class_in_one_mask_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured([[False, False], [True, False]], [[90, 0, 0], [5, 5, 0], [0, 0, 0]], tmp_path, monkeypatch)
    assert found["segmenter"]["per_class"] == {"background": round(90 / 95, 4), "cat": 0.5}
    assert found["classifier"]["field_map"] == 0.5
