"""A single checkpoint file, as most model sites offer it, beside the configs of a pipeline of its kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from synthseg.config.loading import load_config
from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.files import pipeline_files
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.errors import UsageProblem
from synthseg.machine.availability import check_requirements, missing_requirements
from synthseg.machine.file_digest import sha256_of
from synthseg.machine.hub.catalogue import weights_of
from synthseg.machine.hub.fetch import fetch_weights
from synthseg.machine.hub.manifest import FileRecord, Manifest
from synthseg.machine.hub.mirror import Mirror

pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from safetensors.torch import load_file, save_file

from synthseg.engines.diffusers.engine import DiffusersEngine
from tests.tiny_diffusers import single_file

PipelineFolder = Callable[[str], Path]


@pytest.fixture
def checkpoint(pipeline: PipelineFolder, tmp_path: Path) -> Path:
    return single_file(pipeline("sd"), tmp_path / "model.safetensors")


@pytest.fixture
def configs(pipeline: PipelineFolder, tmp_path: Path) -> Path:
    """A pipeline's folder without any weights, as it is fetched for a single file."""
    return Path(shutil.copytree(pipeline("sd"), tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors")))


def settings(model: Path, **changes: Any) -> ImagesConfig:
    values = {"width": 64, "height": 64, "dtype": "fp32", "parameters": {"steps": 2}, **changes}
    return ImagesConfig(engine="diffusers", model=str(model), **values)


def painted(images: ImagesConfig) -> bytes:
    (made,) = DiffusersEngine(images).generate([ImageRequest("a cat", 1, 64, 64, "", {"steps": 2})])
    assert isinstance(made, GeneratedImage)
    return made.encoded


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_single_file_paints_what_its_pipeline_paints(pipeline: PipelineFolder, tmp_path: Path, family: str) -> None:
    checkpoint = single_file(pipeline(family), tmp_path / "model.safetensors")
    configs = shutil.copytree(pipeline(family), tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors"))
    assert painted(settings(checkpoint, config=str(configs))) == painted(settings(pipeline(family)))


def test_a_run_begins_on_one_and_its_settings_are_checked(checkpoint: Path, configs: Path) -> None:
    base = ["images.engine=diffusers", f"images.model={checkpoint}", f"images.config={configs}", "images.width=64", "images.height=64"]
    check_requirements(load_config("embedded", base), "run")
    with pytest.raises(UsageProblem, match=r"images\.parameters\.stepz: .* did you mean 'steps'"):
        check_requirements(load_config("embedded", [*base, "images.parameters={stepz=2}"]), "run")
    with pytest.raises(UsageProblem, match=r"images\.config: /nowhere does not exist"):
        check_requirements(load_config("embedded", [*base, "images.config=/nowhere"]), "run")


def test_its_digest_follows_the_content_of_file_and_configs(checkpoint: Path, configs: Path, tmp_path: Path) -> None:
    def digest(model: Path) -> str:
        return DiffusersEngine(settings(model, config=str(configs))).digest

    before = digest(checkpoint)
    assert digest(Path(shutil.copy(checkpoint, tmp_path / "other-name.safetensors"))) == before
    weights = load_file(checkpoint)
    weights["model.diffusion_model.out.2.bias"] += 1e-3
    save_file(weights, tmp_path / "changed.safetensors")
    assert digest(tmp_path / "changed.safetensors") != before
    path = configs / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"linspace"', '"trailing"'), encoding="utf-8")
    assert digest(checkpoint) != before


def test_what_is_wrong_with_one_is_said_before_it_loads(checkpoint: Path, configs: Path, tmp_path: Path) -> None:
    pickled = Path(shutil.copy(checkpoint, tmp_path / "model.ckpt"))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:-50])
    for images, says in (
        (settings(checkpoint), r"^images\.config: is empty, .* name the hub id or the folder"),
        (settings(pickled, config=str(configs)), r"^images\.model: .*model\.ckpt is no \.safetensors file; other formats can run code"),
        (settings(cut, config=str(configs)), r"^images\.model: .* is damaged"),
        (settings(checkpoint, config=str(configs / "vae")), r"^images\.config: .* is no diffusers pipeline"),
        (settings(checkpoint, config=str(configs), variant="fp16"), r"^images\.variant: "),
        (settings(configs, config=str(configs)), r"^images\.config: belongs to a single checkpoint file"),
    ):
        with pytest.raises(UsageProblem, match=says):
            pipeline_files(images)


def test_a_file_that_lacks_weights_is_refused_and_not_filled_with_chance(checkpoint: Path, configs: Path, tmp_path: Path) -> None:
    for lost in ("model.diffusion_model.middle_block.1.", "cond_stage_model."):
        left = {name: value for name, value in load_file(checkpoint).items() if not name.startswith(lost)}
        save_file(left, tmp_path / "part.safetensors")
        with pytest.raises(UsageProblem, match=r"^images\.model: .*part\.safetensors cannot be loaded"):
            DiffusersEngine(settings(tmp_path / "part.safetensors", config=str(configs)))


def test_the_hub_s_file_and_the_configs_beside_it_are_fetched() -> None:
    config = load_config(
        "embedded",
        ["images.engine=diffusers", "images.model=some/model/pruned.safetensors", "images.config=some/pipeline", "images.width=64"],
    )
    wanted = {weight.field: weight for weight in weights_of(config, "serve")}
    assert wanted["images.model"].selection.file == "pruned.safetensors"
    assert wanted["images.config"].selection.kind == "pipeline-config"
    assert any("some/pipeline (images.config)" in line for line in missing_requirements(config))


def test_what_was_fetched_of_both_is_used_without_a_network(
    checkpoint: Path, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Mirror(str(tmp_path / "mirror"))
    repositories = {
        "some/model": {"merges/pruned.safetensors": checkpoint},
        "some/pipeline": {path.relative_to(configs).as_posix(): path for path in configs.rglob("*") if path.is_file()},
    }
    settings = ["images.engine=diffusers", "images.model=some/model/merges/pruned.safetensors", "images.config=some/pipeline"]
    config = load_config("embedded", [*settings, "images.width=64", "images.height=64"])
    wanted = weights_of(config, "serve")
    for weight in wanted:
        files = repositories[weight.hub_id.repo]
        for name, path in files.items():
            store.add_file(weight.hub_id, name, path)
        records = {name: FileRecord(path.stat().st_size, sha256_of(path)) for name, path in files.items()}
        store.publish(weight.hub_id, Manifest(weight.hub_id.repo, "c" * 40, records, frozenset({weight.selection.key})))
    monkeypatch.setenv("SYNTHSEG_WEIGHTS", str(tmp_path / "mirror"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    fetch_weights(wanted)
    monkeypatch.delenv("SYNTHSEG_WEIGHTS")
    assert missing_requirements(config) == []
    files = pipeline_files(config.images)
    assert files.checkpoint is not None
    assert str(files.checkpoint).startswith(str(tmp_path / "cache"))
    assert files.digests() == pipeline_files(config.images.model_copy(update={"model": str(checkpoint), "config": str(configs)})).digests()


def test_a_run_without_one_has_the_identity_that_it_always_had() -> None:
    config = load_config("embedded", ["images.engine=diffusers", "images.model=m"])
    assert "config" not in config.model_dump(mode="json")["images"]
    assert config.fingerprint() != load_config("embedded", ["images.engine=diffusers", "images.model=m", "images.config=c"]).fingerprint()
