from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from synthseg.errors import UsageProblem
from synthseg.method.networks.clip_loading import state_hash
from synthseg.method.networks.timm_loading import bare_timm, load_timm
from tests.synthseg.method.networks.hub_cache import hold, hub_cache

__all__ = ["hub_cache"]

NAME = "test_vit.r160_in1k"
REPO = f"timm/{NAME}"
FIELD = "segmenter.dino_model"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    return path


def test_file_folder_and_hub_cache_give_the_same_model(hub_cache: Path, checkpoint: Path) -> None:
    folder = hold(hub_cache, REPO, model__safetensors=checkpoint)
    models = [load_timm(NAME, weights, FIELD) for weights in (str(checkpoint), str(folder), "")]
    assert len({state_hash(model) for model in models}) == 1
    assert state_hash(models[0]) != state_hash(bare_timm(NAME, FIELD))


def test_a_repository_with_its_own_config_is_loaded_by_its_id(hub_cache: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "test_vit", "pretrained_cfg": {"classifier": "head"}}', encoding="utf-8")
    hold(hub_cache, "someone/else", model__safetensors=checkpoint, config__json=tmp_path / "config.json")
    assert state_hash(load_timm("hf-hub:someone/else", "", FIELD, img_size=160)) == state_hash(load_timm(NAME, str(checkpoint), FIELD))


def test_positions_are_fitted_to_the_image_size(checkpoint: Path) -> None:
    model = load_timm(NAME, str(checkpoint), FIELD, img_size=64)
    assert model.pos_embed.shape[1] < load_timm(NAME, str(checkpoint), FIELD).pos_embed.shape[1]


def test_a_torch_file_of_a_model_that_google_published_as_numpy(tmp_path: Path) -> None:
    # The classifier of voc and coco: timm would read any file of it as .npz unless told otherwise.
    name = "vit_tiny_patch16_224.augreg_in21k"
    assert timm.models.get_pretrained_cfg(name).custom_load
    torch.manual_seed(0)
    model = timm.create_model(name.partition(".")[0], num_classes=0)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert state_hash(load_timm(name, str(tmp_path / "model.safetensors"), "classifier.model")) == state_hash(model)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (NAME, "", r"segmenter\.dino_model: the weights of 'timm/test_vit\.r160_in1k.* are not on this machine; .*synthseg fetch"),
        ("hf-hub:someone/else", "", r"segmenter\.dino_model: .*are not on this machine; .*synthseg fetch"),
        (NAME, "/no/such/file", r"segmenter\.dino_weights: /no/such/file does not exist"),
        ("vit_bass_patch14_dinov2", "", r"segmenter\.dino_model: timm knows no model 'vit_bass"),
        ("test_vit.typo", "", r"segmenter\.dino_model: timm knows no weights of 'test_vit\.typo'; add its tag"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_with_the_way_out(hub_cache: Path, name: str, weights: str, message: str) -> None:
    with pytest.raises(UsageProblem, match=message) as caught:
        load_timm(name, weights, FIELD)
    assert "\n" not in str(caught.value)
