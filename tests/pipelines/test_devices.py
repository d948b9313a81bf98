"""Stages that hold models put them on the GPU that Ray gave them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.stages import evaluate, relabel
from synthseg.config import load_config
from synthseg.method.networks import classifier, frozen, segmenter
from synthseg.store.run_folder import RunFolder

CONFIG = load_config("embedded", classes=["cat", "dog"])


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_relabel_and_evaluate_load_every_model_onto_the_gpu_where_there_is_one(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def load(*arguments: Any) -> Any:
        seen.extend(argument.type for argument in arguments if isinstance(argument, torch.device))
        return SimpleNamespace(masker=lambda section: None)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(relabel, "load_classifier", load)
    monkeypatch.setattr(classifier, "load_classifier", load)
    monkeypatch.setattr(frozen, "load_frozen", load)
    monkeypatch.setattr(segmenter.Segmenter, "load", load)
    for module in (relabel, evaluate):
        monkeypatch.setattr(module, "register", lambda stacks: None)
    folder = RunFolder.create(str(tmp_path / "run"), CONFIG)
    for fold in range(2):
        folder.files.write(f"classifier/fold-{fold}.safetensors", b"")
    relabel.RelabelWorker(CONFIG, folder.out, tmp_path / "stacks")
    assert seen == [device] * 2
    evaluate.EvaluationWorker(CONFIG, folder.out, tmp_path / "stacks")
    assert seen == [device] * 6
