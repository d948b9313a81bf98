"""Images of prompts that the image model reads in part only are counted from the engine to the report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.stages import images
from pipelines.stages.images import ImageWorker, ensure_plan, pending_shards
from synthseg import cli
from synthseg.config.loading import load_config
from synthseg.ids import prompt_id
from synthseg.report.build import render
from synthseg.report.collect import collect
from synthseg.report.status import read_status
from synthseg.store.run_folder import RunFolder
from tests.rows import candidates

pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from synthseg.engines.diffusers.engine import DiffusersEngine
from tests.tiny_diffusers import stable_diffusion

SHORT, LONG = "a cat on a green meadow", "a cat " + "beside a calm lake in heavy snow " * 12


def test_cut_prompts_are_counted_from_the_engine_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        "images.engine=diffusers", f"images.model={stable_diffusion(tmp_path / 'sd')}", "images.dtype=fp32", "images.width=64",
        "images.height=64", "images.parameters={steps=1}", "images.images_per_prompt=2", "scoring.keep_per_prompt=1",
    ]  # fmt: skip
    config, out = load_config("embedded", settings), str(tmp_path / "out")
    engine = DiffusersEngine(config.images)

    def asked_directly(_: Any, requests: list[Any], *_more: Any) -> Any:
        yield 0, engine.generate(requests)

    digest = SimpleNamespace(remote=lambda: SimpleNamespace(result=lambda: engine.digest))
    monkeypatch.setattr(images, "image_handle", lambda _: SimpleNamespace(digest=digest))
    monkeypatch.setattr(images, "stream_images", asked_directly)
    folder = RunFolder.create(out, config)
    measured = dict.fromkeys(("quality", "class_similarity", "neighbour_similarity"), 0.0)
    known = {"round": 0, "parent_id": "", "engine": "e", **measured}
    accepted = [{"prompt_id": prompt_id([8], text), "class_ids": [8], "text": text, **known} for text in (SHORT, LONG)]
    ensure_plan(config, folder, candidates(accepted), engine.digest)
    worker = ImageWorker(config, out, tmp_path / "stacks")
    for shard in pending_shards(config, folder):
        worker(shard)

    assert read_status(out).num_cut_prompts == 2, "both images of the long prompt"
    assert cli._guarded(["status", out]) == 0
    assert "2 images were painted from prompts longer than the image model reads" in capsys.readouterr().out
    assert "2 images were painted from prompts longer than the image model reads" in render(collect(folder))


def test_runs_of_earlier_versions_have_no_such_count(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    assert read_status(str(tmp_path)).num_cut_prompts == 0
