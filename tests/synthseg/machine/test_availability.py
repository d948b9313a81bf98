"""What is missing is said at once and all together."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from synthseg.config import load_config
from synthseg.errors import UsageProblem
from synthseg.machine import availability
from synthseg.machine.availability import check_dataset, check_endpoint, check_requirements, missing_requirements
from synthseg.machine.gpus import Gpu
from tests.synthseg.engines.endpoint import endpoint

MAX_CPU_S = 3.0
VLLM_ON_CPU = ("prompts.engine=vllm", "execution.vllm.bundles=[{CPU = 1}]")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without weights and GPUs."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SYNTHSEG_WEIGHTS", raising=False)
    monkeypatch.setattr(availability, "gpus", lambda: ())


def test_everything_voc_lacks_is_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda module: None)
    missing = "; ".join(missing_requirements(load_config("voc")))
    for part in (
        "'vllm' needs vllm (pip install",
        "'diffusers' needs diffusers (pip install",
        "(prompts.model)",
        "(images.model)",
        "timm/vit_base_patch16_clip_224.openai (scoring.model)",
        "timm/vit_base_patch14_dinov2.lvd142m (segmenter.dino_model)",
        "(synthseg fetch voc)",
        "GPU: none seen",
        "data/VOCdevkit/VOC2012/JPEGImages is missing",
    ):
        assert part in missing


def test_serving_asks_for_no_dataset_and_no_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "gpus", lambda: (Gpu("one", 1),))
    missing = "; ".join(missing_requirements(load_config("voc"), "serve"))
    assert "(scoring.model)" in missing
    assert "GPU" not in missing
    assert "dataset" not in missing
    assert "classifier.model" not in missing


def test_a_cluster_has_its_gpus_and_their_weights_elsewhere() -> None:
    config = load_config("voc", ["execution.address=ray://head:10001"])
    missing = missing_requirements(config)
    assert not any(clause.startswith("GPU") for clause in missing)
    (weights,) = (clause for clause in missing if clause.startswith("weights"))
    assert "(scoring.model)" in weights
    assert "(prompts.model)" not in weights


def test_laptop_needs_its_weights_and_no_gpu() -> None:
    missing = missing_requirements(load_config("laptop"))
    (weights,) = (clause for clause in missing if clause.startswith("weights: "))
    assert "qwen2.5-0.5b-instruct-q4_k_m.gguf (prompts.model)" in weights
    assert weights.endswith("(synthseg fetch laptop)")
    assert not any(clause.startswith(("GPU", "evaluation")) for clause in missing)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = [f"prompts.model={tmp_path}/none.gguf", f"classifier.weights={tmp_path}/none.safetensors"]
    missing = missing_requirements(load_config("embedded", settings))
    assert missing == [
        f"prompts.model: {tmp_path}/none.gguf does not exist",
        f"classifier.weights: {tmp_path}/none.safetensors does not exist",
    ]


def test_a_dataset_without_its_parts_is_named(tmp_path: Path) -> None:
    config = load_config("voc", [f"evaluation.dataset=voc:{tmp_path}"])
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"):
        assert f"{tmp_path}/{part} is missing" in availability.missing_dataset(config)
        (tmp_path / part).mkdir(parents=True)
    assert availability.missing_dataset(config) == ""


def test_a_dataset_below_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config("voc", ["evaluation.dataset=voc:~/voc"])
    assert f"{tmp_path}/voc/JPEGImages is missing" in availability.missing_dataset(config)
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"):
        (tmp_path / "voc" / part).mkdir(parents=True)
    assert availability.missing_dataset(config) == ""


def test_a_dataset_is_opened_and_its_first_sample_read(tmp_path: Path) -> None:
    config = load_config("embedded", [f"evaluation.dataset=folder:{tmp_path}"])
    check_dataset(load_config("embedded"))
    for part in ("images", "masks"):
        with pytest.raises(UsageProblem, match=rf"^evaluation\.dataset: {tmp_path}/{part} is missing"):
            check_dataset(config)
        (tmp_path / part).mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"{name}.jpg")
        Image.new("L", (6, 4), 1 if name == "a" else 150).save(tmp_path / "masks" / f"{name}.png")
    check_dataset(config)  # the second one is the evaluation's
    (tmp_path / "masks" / "a.png").write_bytes((tmp_path / "masks" / "b.png").read_bytes())
    with pytest.raises(UsageProblem, match=rf"^evaluation\.dataset: {tmp_path}/masks/a\.png: holds 150, which voc has no class for"):
        check_dataset(config)


@pytest.mark.parametrize("preset", ["voc", "laptop"])
def test_the_command_says_so_in_moments_and_before_ray(preset: str, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom synthseg import cli\n"
        f"code = cli._guarded(['run', {preset!r}, '--out', {str(tmp_path / 'out')!r}])\n"
        "print(sorted({'ray', 'torch', 'diffusers', 'open_clip', 'timm'} & set(sys.modules)))\nsys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {"HF_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "[]\n"
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {preset}: not ready to run: ")
    assert f"synthseg fetch {preset}" in line
    assert not (tmp_path / "out").exists()
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < MAX_CPU_S


def test_weights_that_vllm_lacks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    assert missing_requirements(load_config("embedded", [*VLLM_ON_CPU, f"prompts.model={tmp_path}"])) == []
    gone = load_config("embedded", [*VLLM_ON_CPU, f"prompts.model={tmp_path}/gone", f"prompts.lora={tmp_path}/none"])
    model, lora = f"prompts.model: {tmp_path}/gone does not exist", f"prompts.lora: {tmp_path}/none does not exist"
    assert missing_requirements(gone) == [model, lora]
    gone = load_config("embedded", [*VLLM_ON_CPU, f"prompts.model={tmp_path}", f"prompts.lora={tmp_path}/none"])
    assert missing_requirements(gone) == [lora]
    with pytest.raises(UsageProblem, match=r"^embedded: not ready to run: prompts\.lora"):
        check_requirements(gone, "run")


def test_a_revision_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    settings = [*VLLM_ON_CPU, "prompts.model=some/model", f"prompts.revision={'a' * 40}"]
    (line,) = missing_requirements(load_config("embedded", settings))
    assert f"some/model@{'a' * 40} (prompts.model)" in line


def test_a_cluster_that_is_joined_has_the_weights_on_its_own_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    settings = ["prompts.engine=vllm", "prompts.model=/elsewhere/model", "execution.address=auto"]
    assert missing_requirements(load_config("embedded", settings)) == []


def test_only_an_endpoint_is_asked() -> None:
    check_endpoint(load_config("embedded"))
    with endpoint(lambda body: "Hi") as server:
        check_endpoint(load_config("embedded", ["prompts.engine=openai", "prompts.model=m", f"prompts.base_url={server.url}"]))
        assert len(server.seen) == 1
