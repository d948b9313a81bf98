"""What the stage `evaluate` makes of its workers' chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cluster.ray.streaming import StageWorker
from pipelines.stages.evaluate import evaluate_run
from synthseg.config import load_config
from synthseg.errors import CorruptData
from synthseg.progress import SilentProgress
from synthseg.store.run_folder import RunFolder

CONFIG = load_config("embedded", ["evaluation.dataset=folder:/data/mine"], classes=["cat", "dog"])


def measured(present: list[list[bool]], counts: list[list[int]], tmp_path: Path) -> dict[str, Any]:
    """`evaluate_run` over one chunk of the split, whose worker found these classes and this confusion matrix."""

    def stream(worker: Callable[..., StageWorker], arguments: dict[str, Any], chunks: list[pa.Table]) -> Iterator[dict[str, Any]]:
        (chunk,) = chunks
        yield {
            "precision": "fp32",
            "matrices": {"segmenter": counts, "control": counts},
            "probabilities": [[0.9, 0.1]] * chunk.num_rows,
            "present": present,
            "shown": [],
            "count": chunk.num_rows,
        }

    return evaluate_run(CONFIG, RunFolder.create(str(tmp_path), CONFIG), len(present), stream, SilentProgress())


def test_a_split_without_a_class_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(
        CorruptData, match=r"^evaluation\.dataset: none of the 2 masks of folder:/data/mine holds a pixel of the run's classes"
    ):
        measured([[False, False]] * 2, [[96, 4, 0], [0, 0, 0], [0, 0, 0]], tmp_path)


def test_one_class_in_one_mask_is_measured(tmp_path: Path) -> None:
    found = measured([[False, False], [True, False]], [[90, 0, 0], [5, 5, 0], [0, 0, 0]], tmp_path)
    assert found["segmenter"]["per_class"] == {"background": round(90 / 95, 4), "cat": 0.5}
    assert found["classifier"]["field_map"] == 0.5
