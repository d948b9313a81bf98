from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from synthseg.engines.scorer import Embeddings
from synthseg.machine.cache import cache_folder
from synthseg.method.networks.text_cache import KIND, cached_embeddings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHSEG_CACHE", str(tmp_path / "cache"))
    return cache_folder(KIND)


class Counting:
    def __init__(self, value: float = 1.0) -> None:
        self.calls = 0
        self._value = value

    def __call__(self, texts: Sequence[str]) -> Embeddings:
        self.calls += 1
        time.sleep(0.05)
        return np.full((len(texts), 4), self._value, np.float32)


def test_texts_are_embedded_once_for_each_model_device_and_wording(folder: Path) -> None:
    embed = Counting()
    first = cached_embeddings(embed, "model", "cpu", ["a", "b"])
    np.testing.assert_array_equal(cached_embeddings(Counting(2.0), "model", "cpu", ["a", "b"]), first)
    assert embed.calls == 1
    for model, device, texts in (("other", "cpu", ["a", "b"]), ("model", "cuda", ["a", "b"]), ("model", "cpu", ["b", "a"])):
        assert cached_embeddings(Counting(3.0), model, device, texts)[0, 0] == 3.0
    assert len(list(folder.iterdir())) == 4


def test_workers_that_start_together_embed_once() -> None:
    embed = Counting()
    found: list[Embeddings] = []
    threads = [threading.Thread(target=lambda: found.append(cached_embeddings(embed, "model", "cpu", ["a"]))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert embed.calls == 1
    assert len(found) == 6


@pytest.mark.parametrize("damage", [b"", b"torn", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: bytes) -> None:
    expected = cached_embeddings(Counting(), "model", "cpu", ["a"])
    file = next(folder.glob("*.npy"))
    whole = file.read_bytes()
    file.write_bytes(damage)
    np.testing.assert_array_equal(cached_embeddings(Counting(), "model", "cpu", ["a"]), expected)
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SYNTHSEG_CACHE", str(tmp_path / "file"))
    embed = Counting()
    assert cached_embeddings(embed, "model", "cpu", ["a"]).shape == (1, 4)
    assert embed.calls == 1


def test_where_embeddings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(KIND) == tmp_path / "synthseg" / "texts"
