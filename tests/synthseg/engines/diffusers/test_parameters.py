"""What a pipeline cannot be asked for is told before any weight is loaded, by the same checks that each request goes through."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthseg.config.loading import load_config
from synthseg.config.schema import ImagesConfig
from synthseg.engines.image import ImageRequest
from synthseg.errors import UsageProblem
from synthseg.machine.availability import check_requirements

diffusers = pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from synthseg.engines.diffusers.files import pipeline_files  # noqa: E402
from synthseg.engines.diffusers.loading import check_settings  # noqa: E402
from synthseg.engines.diffusers.outline import outline  # noqa: E402
from synthseg.engines.diffusers.parameters import CallSignature, check_class  # noqa: E402
from tests.tiny_diffusers import FAMILIES, stable_diffusion  # noqa: E402

PipelineFolder = Callable[[str], Path]


def settings(folder: Path, **changes: Any) -> ImagesConfig:
    return ImagesConfig(engine="diffusers", model=str(folder), **{"width": 64, "height": 64, **changes})


def refused(folder: Path, **changes: Any) -> str:
    """The line with which a run's start refuses such settings."""
    with pytest.raises(UsageProblem) as caught:
        check_settings(settings(folder, **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_outline_is_the_pipeline_without_its_weights(pipeline: PipelineFolder, family: str) -> None:
    folder = pipeline(family)
    shell, loaded = outline(pipeline_files(settings(folder))), diffusers.DiffusionPipeline.from_pretrained(folder)
    assert type(shell) is type(loaded)
    networks = [part for name in ("unet", "transformer", "vae") if (part := getattr(shell, name, None)) is not None]
    assert len(networks) == 2
    assert all(weight.is_meta for part in networks for weight in part.parameters()), "no memory is taken"
    ours, theirs = CallSignature.of(shell), CallSignature.of(loaded)
    assert (ours.types, ours.side_multiple) == (theirs.types, theirs.side_multiple)
    assert ours.side_multiple == (8 if family.startswith("sd") else 16)


GUIDED = {"steps": 3, "guidance_scale": 7.5}
STARTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "sd",
        {"negative_prompt": "ugly", "parameters": {"guidance_scale": 0.5}},
        ".*negative_prompt: .* with guidance_scale = 0.5; raise",
    ),
    (
        "sd",
        {"negative_prompt": "ugly", "parameters": {"guidance_scale": 1.0}},
        ".*negative_prompt: .* with guidance_scale = 1.0; raise",
    ),
    ("sdxl", {"negative_prompt": "ugly", "parameters": {"guidance_scale": 1.0}}, "images.negative_prompt: .* with guidance_scale = 1.0"),
    ("z-image", {"negative_prompt": "ugly", "parameters": {"guidance_scale": 0.0}}, "images.negative_prompt: .* with guidance_scale = 0"),
    ("flux", {"negative_prompt": "ugly"}, "images.negative_prompt: FluxPipeline reads it only with true_cfg_scale above 1"),
    ("sd", {"parameters": {"guidance_scale": 1.0, "guidance_rescale": 0.7}}, "images.parameters.guidance_rescale: .* guidance_scale = 1.0"),
    ("sd", {"parameters": {"steps": 1001}}, "images.parameters.steps: EulerDiscreteScheduler makes at most 1000, not 1001"),
    ("flux", {"parameters": {"steps": 1001}}, "images.parameters.steps: FlowMatchEulerDiscreteScheduler makes at most 1000"),
    ("sd", {"parameters": {"clip_skip": 9}}, "images.parameters.clip_skip: .* 0 to 1 layers of its text encoder, not 9"),
    ("sdxl", {"parameters": {"clip_skip": 2}}, "images.parameters.clip_skip: .* 0 to 1 layers"),
    ("sd", {"parameters": {"clip_skip": -1}}, "images.parameters.clip_skip: "),
    ("sd", {"parameters": {"sigmas": []}}, "images.parameters.sigmas: must not be empty"),
    ("flux", {"parameters": {"sigmas": []}}, "images.parameters.sigmas: must not be empty"),
    (
        "sd",
        {"scheduler": "DDIMScheduler", "parameters": {"sigmas": [9.0, 1.0]}},
        ".*sigmas: DDIMScheduler makes no schedule",
    ),
    ("sd", {"parameters": {"sigmas": [9.0, 1.0], "timesteps": [900, 1]}}, "images.parameters.sigmas: .*Only one of"),
    ("sd", {"parameters": {"eta": 0.5}}, "images.parameters.eta: EulerDiscreteScheduler reads none"),
    ("sd", {"scheduler": "LCMScheduler", "parameters": {"steps": 60}}, "images.parameters.steps: LCMScheduler makes no schedule of 60"),
    ("sd", {"scheduler": "FlowMatchEulerDiscreteScheduler"}, "images.scheduler: .* does not fit StableDiffusionPipeline"),
    ("flux", {"scheduler": "LCMScheduler"}, "images.scheduler: 'LCMScheduler' does not fit FluxPipeline"),
    ("sd", {"width": 60}, "images.width: must be a multiple of 8 pixels"),
    ("flux", {"height": 72}, "images.height: must be a multiple of 16 pixels"),
]


@pytest.mark.parametrize(("family", "changes", "says"), STARTS)
def test_what_cannot_be_is_refused_before_a_model_loads(pipeline: PipelineFolder, family: str, changes: dict[str, Any], says: str) -> None:
    assert re.match(says, found := refused(pipeline(family), **changes)), found


ALLOWED: list[tuple[str, dict[str, Any]]] = [
    ("sd", {"negative_prompt": "ugly"}),  # the call's own default guides
    ("sd", {"negative_prompt": "ugly", "parameters": {"guidance_scale": 1.5}}),
    ("z-image", {"negative_prompt": "ugly", "parameters": {"guidance_scale": 0.5}}),  # this one guides above 0
    ("flux", {"negative_prompt": "ugly", "parameters": {"true_cfg_scale": 2.0}}),
    ("sd", {"parameters": {"eta": 0.0}}),  # the default, which changes nothing
    ("sd", {"scheduler": "DDIMScheduler", "parameters": {"eta": 0.5}}),
    ("sd", {"scheduler": "LCMScheduler", "parameters": {"steps": 4, "guidance_scale": 1.5}}),
    ("sdxl", {"scheduler": "LCMScheduler", "parameters": {"steps": 4}}),
    ("sd", {"scheduler": "TCDScheduler", "parameters": {"steps": 4, "eta": 0.3}}),
    ("sd", {"parameters": {"steps": 1000, "clip_skip": 1}}),
    ("sd", {"parameters": {"sigmas": [9.0, 3.0, 1.0]}}),
    ("flux", {"parameters": {"sigmas": [1.0, 0.5], "max_sequence_length": 64}}),
]


@pytest.mark.parametrize(("family", "changes"), ALLOWED)
def test_what_can_be_passes(pipeline: PipelineFolder, family: str, changes: dict[str, Any]) -> None:
    check_settings(settings(pipeline(family), **changes))


def test_a_network_with_guidance_built_in_reads_no_negative_prompt(tmp_path: Path) -> None:
    """As LCM's: its U-Net takes the guidance for an input, and the pipeline makes no second pass whatever guidance_scale is."""
    distilled = stable_diffusion(tmp_path / "lcm", time_cond_proj_dim=16)
    says = refused(distilled, negative_prompt="ugly", parameters={"guidance_scale": 8.0})
    assert says.startswith("images.negative_prompt: StableDiffusionPipeline reads none with this model, whose guidance is built in")
    assert says.endswith("; leave it empty")
    check_settings(settings(distilled, parameters={"guidance_scale": 8.0}))


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionInpaintPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionAdapterPipeline",
        "FluxImg2ImgPipeline",
        "FluxFillPipeline",
        "FluxControlPipeline",
        "FluxControlNetPipeline",
        "QwenImageEditPipeline",
        "ZImageInpaintPipeline",
        "WanVideoToVideoPipeline",
    ],
)
def test_pipelines_that_begin_from_an_image_are_refused(name: str) -> None:
    with pytest.raises(UsageProblem, match=f"^images.model: {name} does not turn a prompt into an image"):
        check_class(getattr(diffusers, name))


@pytest.mark.parametrize(
    "name",
    ["StableDiffusionPipeline", "StableDiffusion3Pipeline", "FluxKontextPipeline", "Flux2Pipeline", "QwenImagePipeline", "SanaPipeline"],
)
def test_text_to_image_pipelines_are_not(name: str) -> None:
    check_class(getattr(diffusers, name))


@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionControlNetPipeline"])
def test_a_run_on_one_ends_at_its_start(pipeline: PipelineFolder, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(pipeline("sd"), tmp_path / "sd"))
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "_class_name": name}), encoding="utf-8")
    base = ["images.engine=diffusers", f"images.model={folder}", "images.width=64", "images.height=64"]
    with pytest.raises(UsageProblem, match=f"{name} does not turn a prompt into an image"):
        check_requirements(load_config("embedded", base), "run")


def test_the_network_of_an_inpainting_model_is_refused_under_any_class(tmp_path: Path) -> None:
    assert "its U-Net reads 9 channels where latents have 4" in refused(stable_diffusion(tmp_path / "inpainting", in_channels=9))


def test_a_home_folder_is_expanded(pipeline: PipelineFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tiny_diffusers import lora

    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(pipeline("sd"), tmp_path / "sd")
    lora(pipeline("sd"), tmp_path / "lora")
    base = ["images.engine=diffusers", "images.model=~/sd", "images.lora=~/lora", "images.width=64", "images.height=64"]
    check_requirements(load_config("embedded", base), "run")


def test_sides_follow_the_pipeline_and_no_fixed_stride(tmp_path: Path) -> None:
    """A VAE of stride 2 draws at 66 pixels, which a stride of 8 would refuse."""
    folder = stable_diffusion(tmp_path / "fine")
    shutil.rmtree(folder / "vae")
    diffusers.AutoencoderKL(block_out_channels=[8, 8], norm_num_groups=4, down_block_types=["DownEncoderBlock2D"] * 2,
                            up_block_types=["UpDecoderBlock2D"] * 2, sample_size=64).save_pretrained(folder / "vae")  # fmt: skip
    base = ["images.engine=diffusers", f"images.model={folder}", "images.height=64"]
    check_requirements(load_config("embedded", [*base, "images.width=66"]), "run")
    with pytest.raises(UsageProblem, match=r"images\.width: must be a multiple of 2 pixels"):
        check_requirements(load_config("embedded", [*base, "images.width=65"]), "run")


def test_a_request_meets_the_same_checks(pipeline: PipelineFolder) -> None:
    signature = CallSignature.of(outline(pipeline_files(settings(pipeline("sd")))))
    for parameters, says in (
        ({"steps": 1001}, "steps: "),
        ({"eta": 1.0}, "eta: "),
        ({"clip_skip": 9}, "clip_skip: "),
        ({"sigmas": []}, "sigmas: "),
    ):
        with pytest.raises(UsageProblem, match=f"^{says}"):
            signature.arguments(ImageRequest("a cat", 0, 64, 64, "", parameters))
    with pytest.raises(UsageProblem, match=r"^negative_prompt: .* guidance_scale = 0\.5"):
        signature.arguments(ImageRequest("a cat", 0, 64, 64, "ugly", {"guidance_scale": 0.5}))
    assert signature.arguments(ImageRequest("a cat", 0, 64, 64, "ugly", GUIDED)) == {"num_inference_steps": 3, "guidance_scale": 7.5}
