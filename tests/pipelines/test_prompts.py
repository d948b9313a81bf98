from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.prompts import accepted_prompts, pending_classes, prompt_metrics, shard_name
from synthseg.config import load_config
from synthseg.records import PROMPT_CANDIDATE
from synthseg.store.run_folder import RunFolder


def row(identity: str, accepted: bool = True, **extra: Any) -> dict[str, Any]:
    return {"prompt_id": identity, "class_ids": [8, 12], "text": identity, "accepted": accepted, **extra}


def stats(candidates: int, accepted: int, similarity: float | None) -> dict[str, Any]:
    one = {
        "candidates": candidates,
        "accepted": accepted,
        "rounds": 2,
        "by_round": [[candidates - 1, accepted - 1], [1, 1]],
        "reasons": {"near_duplicate": candidates - accepted},
        "mean_neighbour_similarity": similarity,
    }
    return {"agent": one, "control": {**one, "accepted": accepted - 1}}


def folder(tmp_path: Path) -> tuple[Any, RunFolder]:
    config = load_config("embedded", classes=["cat", "dog", "horse"])
    run = RunFolder.create(str(tmp_path), config)
    cat, dog, _ = config.class_infos()
    for info, rows, measured in (
        (cat, [row("a"), row("both"), row("no", accepted=False)], stats(10, 4, 0.5)),
        (dog, [row("both"), row("b")], stats(6, 3, 0.7)),
    ):
        run.shards.publish("prompts", shard_name(info), pa.Table.from_pylist(rows, schema=PROMPT_CANDIDATE), measured)
    return config, run


def test_only_classes_without_a_shard_are_pending(tmp_path: Path) -> None:
    config, run = folder(tmp_path)
    assert [table.column("class_id")[0].as_py() for table in pending_classes(config, run)] == [13]


def test_a_prompt_two_classes_accepted_is_planned_once(tmp_path: Path) -> None:
    _, run = folder(tmp_path)
    assert [prompt["prompt_id"] for prompt in accepted_prompts(run)] == ["a", "both", "b"]


def test_metrics_add_the_classes_up(tmp_path: Path) -> None:
    config, run = folder(tmp_path)
    found = prompt_metrics(config, run)
    assert found["prompts"]["candidates"] == 16
    assert found["prompts"]["accepted"] == 7
    assert found["prompts"]["acceptance_rate"] == round(7 / 16, 4)
    assert found["prompts"]["mean_neighbour_similarity"] == 0.6
    assert found["prompts"]["by_round"] == [{"round": 0, "candidates": 14, "accepted": 5}, {"round": 1, "candidates": 2, "accepted": 2}]
    assert found["prompts"]["reasons"] == {"near_duplicate": 9}
    assert found["template_control"]["accepted"] == 5
