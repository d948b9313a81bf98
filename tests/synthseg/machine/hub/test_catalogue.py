from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import timm

from synthseg.config import load_config
from synthseg.config.loading import preset_names
from synthseg.errors import UsageProblem
from synthseg.machine.hub import names
from synthseg.machine.hub.catalogue import weights_of
from synthseg.machine.hub.ids import HubId, parse_hub_id


def fields(preset: str, *overrides: str, serve: bool = False) -> dict[str, str]:
    return {w.field: str(w.hub_id) for w in weights_of(load_config(preset, overrides), "serve" if serve else "run")}


def test_the_embedded_preset_needs_nothing() -> None:
    assert weights_of(load_config("embedded")) == ()


@pytest.mark.parametrize("preset", [name for name in preset_names() if name != "embedded"])
def test_every_weight_of_a_preset_has_a_licence_and_a_size(preset: str) -> None:
    found = weights_of(load_config(preset))
    assert {"prompts.model", "images.model", "scoring.model", "classifier.model"} <= {weight.field for weight in found}
    assert all(weight.licence and weight.num_bytes for weight in found)


def test_laptop_takes_one_file_of_a_gguf_repository() -> None:
    (llm,) = (weight for weight in weights_of(load_config("laptop")) if weight.field == "prompts.model")
    assert llm.hub_id.file == llm.selection.file == "qwen2.5-0.5b-instruct-q4_k_m.gguf"
    assert llm.hub_id.repo == "Qwen/Qwen2.5-0.5B-Instruct-GGUF"


def test_one_model_in_two_settings_is_one_weight_and_serving_needs_fewer() -> None:
    found = fields("voc")
    assert found["scoring.model"] == "timm/vit_base_patch16_clip_224.openai"
    assert "segmenter.clip_model" not in found
    assert set(fields("voc", serve=True)) == {"prompts.model", "images.model", "scoring.model"}


def test_what_lies_on_this_machine_is_not_asked_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").touch()
    local = [f"{field}={tmp_path}/w.safetensors" for field in ("scoring.weights", "classifier.weights", "segmenter.clip_weights")]
    found = fields("voc", *local, "segmenter.mode=clip_only", f"images.model={tmp_path}", f"prompts.model={tmp_path}")
    assert found == {}


def test_every_weight_can_be_held_to_a_commit() -> None:
    commit = "a" * 40
    clip, dino = f"hf-hub:timm/vit_base_patch16_clip_224.openai@{commit}", f"hf-hub:timm/vit_base_patch14_dinov2.lvd142m@{commit}"
    pinned = [f"prompts.revision={commit}", f"images.revision={commit}", f"scoring.model={clip}", "scoring.weights="]
    pinned += [f"segmenter.clip_model={clip}", "segmenter.clip_weights=", f"segmenter.dino_model={dino}"]
    pinned += [f"classifier.model=hf-hub:timm/vit_base_patch16_224.augreg_in21k@{commit}"]
    weights = weights_of(load_config("voc", pinned))
    assert {weight.hub_id.commit for weight in weights} == {commit}
    assert {weight.hub_id.repo for weight in weights} == {weight.hub_id.repo for weight in weights_of(load_config("voc"))}


def test_a_folder_of_timm_is_not_asked_of_the_hub(tmp_path: Path) -> None:
    found = fields("voc", f"classifier.model=local-dir:{tmp_path}", f"segmenter.dino_model=local-dir:{tmp_path}")
    assert set(found) == {"prompts.model", "images.model", "scoring.model"}


def test_a_hub_id_of_open_clip_needs_no_tag() -> None:
    assert fields("embedded", "scoring.model=hf-hub:acme/clip") == {"scoring.model": "acme/clip"}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("prompts.model=Qwen/Qwen2.5-0.5B-Instruct-GGUF", "prompts.model: .* names no GGUF file"),
        ("images.model=", "images.model: is empty"),
        ("images.model=no such model", "images.model: 'no such model' is neither a path nor a model id"),
        ("scoring.weights=", "scoring.weights: is empty"),
        ("scoring.weights=nowhere", "scoring.weights: open_clip knows no weights 'nowhere'"),
        ("classifier.model=vit_base_patch14_dinov2.typo", "classifier.model: timm knows no weights of 'vit_base_patch14_dinov2.typo'"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(override: str, says: str) -> None:
    with pytest.raises(UsageProblem, match=f"^{says}"):
        weights_of(load_config("laptop", [override]))


def test_the_table_of_names_agrees_with_the_libraries() -> None:
    for (name, tag), repo in names._CLIP.items():
        assert open_clip.get_pretrained_cfg(name, tag)["hf_hub"].rpartition("/")[0] == repo
    for name, repo in names._TIMM.items():
        assert timm.models.get_pretrained_cfg(name).hf_hub_id == repo


def test_names_outside_the_table_come_from_the_libraries() -> None:
    assert names.hub_id_of_clip("ViT-B-16-SigLIP2", "webli") == "timm/ViT-B-16-SigLIP2"
    assert names.hub_id_of_timm("vit_tiny_patch16_224.augreg_in21k") == "timm/vit_tiny_patch16_224.augreg_in21k"
    assert names.hub_id_of_timm("no_such_model") == ""
    assert names.hub_id_of_timm("vit_base_patch14_dinov2.typo") == ""


def test_hub_ids() -> None:
    assert parse_hub_id("a/b", "f") == HubId("a/b")
    assert parse_hub_id("a/b@v1", "f", "other") == HubId("a/b", "v1")
    assert parse_hub_id("a/b/c/d.gguf@v1", "f") == HubId("a/b", "v1", "c/d.gguf")
    assert str(parse_hub_id("a/b/d.gguf@v1", "f")) == "a/b/d.gguf@v1"
    assert parse_hub_id("a/b", "f", "0" * 40).commit == "0" * 40
    for wrong in ("a", "a/../b", "a/b@", "a b/c", "https://x/y"):
        with pytest.raises(UsageProblem, match=r"^f: "):
            parse_hub_id(wrong, "f")


@pytest.mark.parametrize("preset", ["voc", "coco", "laptop"])
def test_the_page_names_the_default_weights_and_their_licences(preset: str) -> None:
    rows = (Path(__file__).parents[4] / "docs" / "weights.md").read_text(encoding="utf-8").splitlines()
    for weight in weights_of(load_config(preset)):
        if weight.field == "images.model" and preset != "laptop":
            continue  # stands in docs of its own
        (row,) = (row for row in rows if row.startswith("|") and preset in row.split("|")[1] and weight.field in row.split("|")[2])
        assert weight.hub_id.repo in row
        assert weight.licence.partition(":")[0] in row
