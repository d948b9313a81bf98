from __future__ import annotations

from pathlib import Path

import pytest

from synthseg.config.loading import load_config
from synthseg.engines.vllm.weights import LocalModel, local_model, weights_digest
from synthseg.errors import UsageProblem


def test_missing_weights_are_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"prompts\.model: .*gone does not exist"):
        local_model(load_config("voc", [f"prompts.model={tmp_path}/gone"]))
    with pytest.raises(UsageProblem, match=r"prompts\.lora: .*gone does not exist"):
        local_model(load_config("voc", [f"prompts.model={tmp_path}", f"prompts.lora={tmp_path}/gone"]))


def test_digest_tells_files_version_type_and_adapter(tmp_path: Path) -> None:
    weights, adapter = tmp_path / "weights", tmp_path / "adapter"
    for folder in (weights, adapter):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(17 << 20))
        (folder / "config.json").write_text("{}", encoding="utf-8")
    config = load_config("voc")
    seen = [weights_digest(config, LocalModel(weights), "1")]
    assert weights_digest(config, LocalModel(weights), "1") == seen[0]
    seen.append(weights_digest(config, LocalModel(weights), "2"))
    seen.append(weights_digest(load_config("voc", ["prompts.dtype=float16"]), LocalModel(weights), "1"))
    seen.append(weights_digest(config, LocalModel(weights, adapter), "1"))
    with (weights / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    seen.append(weights_digest(config, LocalModel(weights), "1"))
    (weights / "config.json").write_text("{ }", encoding="utf-8")
    seen.append(weights_digest(config, LocalModel(weights), "1"))
    assert len(set(seen)) == 6
