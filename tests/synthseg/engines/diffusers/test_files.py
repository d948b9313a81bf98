"""What is wrong with a pipeline's folder is said before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthseg.config.loading import load_config
from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.files import lora_file, pipeline_files
from synthseg.errors import UsageProblem
from synthseg.machine.availability import check_requirements, missing_requirements


@pytest.fixture
def folder(pipeline: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Stable Diffusion pipeline to break."""
    return Path(shutil.copytree(pipeline("sd"), tmp_path / "sd"))


def settings(folder: Path | str, **changes: Any) -> ImagesConfig:
    return ImagesConfig(engine="diffusers", model=str(folder), width=64, height=64, **changes)


def index(folder: Path, **changes: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_whole_pipeline_is_known_by_its_content(folder: Path) -> None:
    files = pipeline_files(settings(folder))
    assert files.class_name == "StableDiffusionPipeline"
    assert {path.parent.name for path in files.weights} == {"unet", "vae", "text_encoder"}
    before = files.digests()
    assert {"model_index.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors"} <= before.keys()
    (folder / "README.md").write_text("not read", encoding="utf-8")
    assert pipeline_files(settings(folder)).digests() == before
    index(folder, _diffusers_version="0.1")
    after = pipeline_files(settings(folder)).digests()
    assert {name for name in before if before[name] != after[name]} == {"model_index.json"}


def in_hub_cache(path: Path, cache: Path, name: str) -> None:
    """Replace `path` by a link to a blob that is named as the hub's cache names it."""
    blob = cache / "models--a--b" / "blobs" / name
    blob.parent.mkdir(parents=True, exist_ok=True)
    path.rename(blob)
    path.symlink_to(blob)


def test_large_files_of_the_hub_s_cache_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    in_hub_cache(folder / "vae" / "diffusion_pytorch_model.safetensors", tmp_path, "ab" * 32)
    assert pipeline_files(settings(folder)).digests()["vae/diffusion_pytorch_model.safetensors"] == "ab" * 32


def test_the_hub_s_cache_and_a_copy_have_one_digest(folder: Path, tmp_path: Path) -> None:
    """Small files are kept there under git's SHA-1, which a mirror and a folder know nothing of."""
    before = pipeline_files(settings(folder)).digests()
    in_hub_cache(folder / "model_index.json", tmp_path, "cd" * 20)
    in_hub_cache(folder / "vae" / "config.json", tmp_path, "ef" * 20)
    assert pipeline_files(settings(folder)).digests() == before


def cut_short(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_header(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"<html>404</html>")


def only_pickle(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")


def only_variant(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))


def lost_shard(folder: Path) -> None:
    names = {"a": "diffusion_pytorch_model.safetensors", "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}), encoding="utf-8")


BREAKS: list[tuple[Callable[[Path], Any], str]] = [
    (shutil.rmtree, r"images\.model: .*sd does not exist"),
    (lambda folder: (folder / "model_index.json").unlink(), r"is no diffusers pipeline \(it has no model_index\.json\)"),
    (lambda folder: (folder / "model_index.json").write_text("{", encoding="utf-8"), "names no pipeline class"),
    (lambda folder: shutil.rmtree(folder / "vae"), "has no folder 'vae'"),
    (lambda folder: (folder / "scheduler" / "scheduler_config.json").unlink(), "scheduler holds no config"),
    (lambda folder: (folder / "text_encoder" / "model.safetensors").unlink(), r"text_encoder has no weights"),
    (cut_short, r"unet.*is damaged \(\d+ bytes, its header says \d+\)"),
    (no_header, "unet.*is no safetensors file"),
    (only_pickle, r"only \.bin files, which can run code"),
    (only_variant, "has weights of variant fp16 only; set images.variant"),
    (lost_shard, "lacks diffusion_pytorch_model-00002-of-00002.safetensors"),
    (lambda folder: (folder / "unet" / "unet.py").write_text("raise SystemExit", encoding="utf-8"), r"brings code of its own \(unet\)"),
    (lambda folder: index(folder, _class_name=["mine", "Mine"]), r"brings code of its own \(mine\)"),
]


@pytest.mark.parametrize(("damage", "says"), BREAKS)
def test_each_fault_is_one_line_that_names_it(folder: Path, damage: Callable[[Path], Any], says: str) -> None:
    damage(folder)
    with pytest.raises(UsageProblem, match=says) as caught:
        pipeline_files(settings(folder))
    assert str(caught.value).startswith("images.model: ")
    assert "\n" not in str(caught.value)


def test_a_variant_is_taken_where_a_component_has_it(folder: Path) -> None:
    only_variant(folder)
    names = {path.name for path in pipeline_files(settings(folder, variant="fp16")).weights}
    assert names == {"diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors", "model.safetensors"}


def test_a_variant_that_no_component_has_is_named(folder: Path) -> None:
    with pytest.raises(UsageProblem, match=r"^images\.variant: .* has no weights of variant 'fp16'; set images\.variant = ''"):
        pipeline_files(settings(folder, variant="fp16"))


def in_shards(component: Path, variant: str) -> None:
    """Add the component's weights once more as one shard with an index, named as `variant` is."""
    named = f".{variant}" if variant else ""
    shard = f"diffusion_pytorch_model{named}-00001-of-00001.safetensors"
    shutil.copy(component / "diffusion_pytorch_model.safetensors", component / shard)
    (component / f"diffusion_pytorch_model.safetensors.index{named}.json").write_text(
        json.dumps({"weight_map": {"a": shard}}), encoding="utf-8"
    )


@pytest.mark.parametrize("variant", ["", "fp16"])
def test_only_the_index_of_the_wanted_variant_counts(folder: Path, variant: str) -> None:
    unet = folder / "unet"
    for each in ("", "fp16"):
        in_shards(unet, each)
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    (shard,) = (path for path in pipeline_files(settings(folder, variant=variant)).weights if path.parent == unet)
    assert shard.name == f"diffusion_pytorch_model{'.fp16' if variant else ''}-00001-of-00001.safetensors"
    shard.rename(shard.with_name(shard.name.replace("00001-of", "00002-of")))
    with pytest.raises(UsageProblem, match=f"lacks {shard.name}"):
        pipeline_files(settings(folder, variant=variant))


def test_code_runs_only_when_the_user_names_the_model_again(folder: Path) -> None:
    (folder / "unet" / "unet.py").write_text("raise SystemExit", encoding="utf-8")
    assert pipeline_files(settings(folder, trust_remote_code=str(folder))).own_code == ("unet",)


def test_a_lora_is_one_safetensors_file(folder: Path, tmp_path: Path) -> None:
    several = tmp_path / "several"
    several.mkdir()
    for name in ("a.safetensors", "b.safetensors"):
        shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", several / name)
    with pytest.raises(UsageProblem, match=r"images\.lora_file must name one of it \(has: a\.safetensors, b\.safetensors\)"):
        lora_file(settings(folder, lora=str(several)))
    assert lora_file(settings(folder, lora=str(several), lora_file="b.safetensors")) == several / "b.safetensors"
    (several / "c.bin").write_bytes(b"")
    with pytest.raises(UsageProblem, match=r"is no \.safetensors file"):
        lora_file(settings(folder, lora=str(several / "c.bin")))


def test_requirements_list_all_that_is_missing_and_then_check_the_settings(folder: Path) -> None:
    base = ["images.engine=diffusers", f"images.model={folder}", "images.width=64", "images.height=64"]
    check_requirements(load_config("embedded", [*base, "images.parameters={steps=2}"]), "run")
    with pytest.raises(UsageProblem, match=r"images\.parameters\.stepz: StableDiffusionPipeline takes no such parameter"):
        check_requirements(load_config("embedded", [*base, "images.parameters={stepz=2}"]), "run")
    shutil.rmtree(folder / "vae")
    missing = missing_requirements(load_config("embedded", [*base, "images.lora=/nowhere", "images.safety_checker=./none"]))
    assert [line.partition(":")[0] for line in missing] == ["images.model", "images.lora", "images.safety_checker"]
    index(folder, vae=[None, None], _class_name="NoSuchPipeline")
    with pytest.raises(UsageProblem, match="has no pipeline 'NoSuchPipeline'"):
        check_requirements(load_config("embedded", base), "run")


def test_a_pipeline_that_needs_an_image_is_refused(folder: Path) -> None:
    index(folder, _class_name="StableDiffusionImg2ImgPipeline")
    base = ["images.engine=diffusers", f"images.model={folder}", "images.width=64", "images.height=64"]
    with pytest.raises(UsageProblem, match="does not turn a prompt into an image"):
        check_requirements(load_config("embedded", base), "run")
