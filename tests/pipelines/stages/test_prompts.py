from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.stages import prompts as module
from pipelines.stages.prompts import PromptWorker, accepted_prompts, pending_classes, prompt_metrics, shard_name
from synthseg.config import load_config
from synthseg.embedded.template_text import TemplateEngine
from synthseg.engines.text import TextReply, TextRequest
from synthseg.records import CANDIDATE_SCHEMA
from synthseg.store.run_folder import RunFolder
from tests.rows import candidate_table


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
        run.shards.publish("prompts", shard_name(info), candidate_table(rows), measured)
    return config, run


def test_only_classes_without_a_shard_are_pending(tmp_path: Path) -> None:
    config, run = folder(tmp_path)
    assert [table.column("class_id")[0].as_py() for table in pending_classes(config, run)] == [13]


def test_a_prompt_two_classes_accepted_is_planned_once(tmp_path: Path) -> None:
    _, run = folder(tmp_path)
    assert [prompt.prompt_id for prompt in accepted_prompts(run)] == ["a", "both", "b"]


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


class Digest:
    """What a handle's method gives back."""

    def __init__(self) -> None:
        self.digest = self

    def remote(self) -> Digest:
        return self

    def result(self) -> str:
        return "templates"


def test_classes_of_one_worker_wait_together_and_find_what_they_find_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first requests of both classes are only answered when both wait; the candidates are those of one class after another."""
    settings = ["prompts.prompts_per_class=4", "prompts.context_prompts_per_class=1", "prompts.calibration_draws=8"]
    config = load_config("embedded", settings, classes=["cat", "bus"])
    monkeypatch.setattr(module, "text_handle", lambda config: Digest())
    together = threading.Barrier(2)
    first: set[int] = set()
    engine = TemplateEngine()

    def answer(handle: Digest, requests: Sequence[TextRequest]) -> list[TextReply]:
        if threading.get_ident() not in first:
            first.add(threading.get_ident())
            together.wait(60)
        return engine.generate(requests)

    def candidates(name: str, num_threads: int) -> list[list[dict[str, Any]]]:
        run = RunFolder.create(str(tmp_path / name), config)
        worker = PromptWorker(config, run.out, tmp_path / "stacks")
        with ThreadPoolExecutor(num_threads) as threads:
            list(threads.map(worker, pending_classes(config, run)))
        return [run.shards.read("prompts", shard_name(info), CANDIDATE_SCHEMA).to_pylist() for info in config.class_infos()]

    monkeypatch.setattr(module, "generate_texts", answer)
    found = candidates("together", 2)
    monkeypatch.setattr(module, "generate_texts", lambda handle, requests: engine.generate(requests))
    assert candidates("alone", 1) == found
    assert all(len(rows) >= 5 for rows in found)
