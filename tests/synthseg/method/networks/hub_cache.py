"""A hub cache on this disk as the hub's own client lays it out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

COMMIT = "0" * 40


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and no network."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


def hold(cache: Path, repo: str, **files: Path) -> Path:
    """Put `files` (name, with __ for a dot, to its content) into the cache as the repository `repo`."""
    root = cache / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    for name, source in files.items():
        shutil.copy(source, snapshot / name.replace("__", "."))
    return snapshot
