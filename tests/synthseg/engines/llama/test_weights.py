from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from synthseg.engines.llama import weights as llama_weights
from synthseg.engines.llama.weights import in_q8_0
from synthseg.machine.cache import cache_folder

WEIGHTS = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
NORM = np.arange(64, dtype=np.float32)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHSEG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_string("general.name", "a model")
    writer.add_file_type(3)
    writer.add_array("tokenizer.ggml.tokens", ["a", "ü", "</s>"])
    writer.add_float32("llama.rope.freq_base", 1e5)
    writer.add_tensor("norm", NORM)
    writer.add_tensor("mix", quantize(WEIGHTS, GGMLQuantizationType.Q4_1), raw_dtype=GGMLQuantizationType.Q4_1)
    writer.add_tensor("words", quantize(WEIGHTS, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(path: Path) -> dict[str, tuple[GGMLQuantizationType, np.ndarray]]:
    return {t.name: (t.tensor_type, np.array(t.data)) for t in GGUFReader(path).tensors}


def fields(path: Path) -> dict[str, object]:
    return {name: field.contents() for name, field in GGUFReader(path).fields.items() if not name.startswith("GGUF.")}


def test_all_that_is_not_q4_1_stays_and_the_rest_keeps_its_values(model: Path) -> None:
    with in_q8_0(model, "content") as made:
        before, after = tensors(model), tensors(made)
        assert {**fields(made), "general.file_type": 3} == fields(model)
    assert list(after) == ["norm", "mix", "words"]
    for name in ("norm", "words"):
        assert after[name][0] == before[name][0]
        np.testing.assert_array_equal(after[name][1], before[name][1])
    assert after["mix"][0] == GGMLQuantizationType.Q8_0
    values = [dequantize(data, kind) for kind, data in (before["mix"], after["mix"])]
    largest = np.abs(values[0]).reshape(6, -1, 32).max(axis=2, keepdims=True)
    assert (np.abs(values[0] - values[1]).reshape(6, -1, 32) <= largest / 250).all()


def test_it_is_made_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_q8_0(model, "content") as made:
        first = made.read_bytes()
    assert [path.suffix for path in cache_folder("models").iterdir()] == [".gguf"]
    monkeypatch.setattr(llama_weights, "_convert", lambda *_: pytest.fail("made again"))
    with in_q8_0(model, "content") as made:
        assert made.read_bytes() == first


def test_where_nothing_can_be_kept_it_is_made_for_the_moment(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_q8_0(model, "content") as made:
        kept = made.read_bytes()
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("SYNTHSEG_CACHE", str(tmp_path / "file"))
    with in_q8_0(model, "content") as made:
        assert made.read_bytes() == kept
    assert not made.exists()


def test_a_conversion_that_breaks_off_leaves_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(_: Path, made: Path) -> None:
        made.write_bytes(b"GGUF")
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(llama_weights, "_convert", torn)
        with pytest.raises(RuntimeError, match="out of memory"):
            in_q8_0(model, "content").__enter__()
    assert list(cache_folder("models").iterdir()) == []
    with in_q8_0(model, "content") as made:
        assert tensors(made)
