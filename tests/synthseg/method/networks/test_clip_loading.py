from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from synthseg.errors import UsageProblem
from synthseg.method.networks.clip_loading import hub_offline, load_open_clip, state_hash
from tests.synthseg.method.networks.hub_cache import hold, hub_cache

__all__ = ["hub_cache"]

NAME = "tiny-test-quickgelu"
REPO = "someone/tiny_clip.openai"
CONFIG = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
MEAN = (0.1, 0.2, 0.3)


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model on open_clip's list, with and without OpenAI's activation, and weights of it on the hub."""
    for name, config in ((NAME, CONFIG), (NAME.removesuffix("-quickgelu"), {**CONFIG, "quick_gelu": False})):
        (tmp_path / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(tmp_path / f"{name}.json")
        tags = {"openai": {"hf_hub": f"{REPO}/", "mean": MEAN, "std": MEAN, "quick_gelu": True, "resize_mode": "shortest"}}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, tags)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(open_clip.create_model(NAME).state_dict(), path)
    return path


def test_a_tag_is_found_in_the_local_hub_cache(hub_cache: Path, checkpoint: Path) -> None:
    hold(hub_cache, REPO, open_clip_model__safetensors=checkpoint)
    by_tag, by_file = load_open_clip(NAME, "openai"), load_open_clip(NAME, str(checkpoint))
    assert state_hash(by_tag.model) == state_hash(by_file.model)
    assert by_tag.mean == MEAN
    assert by_file.mean != MEAN
    assert by_tag.image_size == (32, 32)


def test_a_repository_is_loaded_by_its_id(hub_cache: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": MEAN, "std": MEAN}}), encoding="utf-8"
    )
    hold(hub_cache, REPO, open_clip_model__safetensors=checkpoint, open_clip_config__json=tmp_path / "config.json")
    loaded = load_open_clip(f"hf-hub:{REPO}")
    assert loaded.digest == load_open_clip(NAME, "openai").digest
    assert loaded.tokenizer(["a cat"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        (NAME, "openai", r"segmenter\.clip_model: the weights of 'someone/tiny_clip\.openai.* are not on this machine; .*synthseg fetch"),
        (f"hf-hub:{REPO}", "", r"segmenter\.clip_model: .*are not on this machine; .*synthseg fetch"),
        (NAME, "", r"segmenter\.clip_model: .*has no weights; set its weights to a file or to one of openai"),
        (NAME, "/no/such/file", r"segmenter\.clip_model: /no/such/file does not exist"),
        (NAME, "laion", r"has no weights 'laion'; it has openai"),
        (NAME.removesuffix("-quickgelu"), "openai", rf"another activation; name the model '{NAME}'"),
        ("ViT-B-61", "openai", r"knows no model 'ViT-B-61'; did you mean ViT-B-16"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_with_the_way_out(hub_cache: Path, model: str, weights: str, message: str) -> None:
    with pytest.raises(UsageProblem, match=message) as caught:
        load_open_clip(model, weights, field="segmenter.clip_model")
    assert "\n" not in str(caught.value)


def test_a_snapshot_without_the_weights_names_the_file(hub_cache: Path, checkpoint: Path) -> None:
    hold(hub_cache, REPO, other__safetensors=checkpoint)
    with pytest.raises(UsageProblem, match=r"open_clip_model\.safetensors is missing; run: synthseg fetch"):
        load_open_clip(NAME, "openai")


def test_weights_of_another_shape_are_one_line(tmp_path: Path) -> None:
    save_file({"logit_scale": torch.zeros(())}, tmp_path / "other.safetensors")
    with pytest.raises(UsageProblem, match=r"scoring\.model: .*cannot be loaded") as caught:
        load_open_clip(NAME, str(tmp_path / "other.safetensors"))
    assert "\n" not in str(caught.value)


def test_the_hub_is_closed_while_a_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import get_session

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_offline(), pytest.raises(OfflineModeIsEnabled):
        get_session().get("http://127.0.0.1:9")
    assert constants.HF_HUB_OFFLINE is False
