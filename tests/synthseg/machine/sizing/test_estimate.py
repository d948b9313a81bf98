"""What a run takes: the arithmetic, its sources, and the page that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.sizing import PAGE, commands, page
from synthseg import cli
from synthseg.config import load_config
from synthseg.config.loading import preset_names
from synthseg.errors import UsageProblem
from synthseg.machine.sizing import rates
from synthseg.machine.sizing.estimate import Measured, Plan, needed_memory_gb, plan_run
from synthseg.machine.sizing.render import render


def plan(preset: str, *overrides: str, gpu: str = "a100", **options: float) -> Plan:
    return plan_run(load_config(preset, overrides), rates.gpu(gpu), measured=Measured(**options))


SDXL = ("images.model=stabilityai/stable-diffusion-xl-base-1.0", "images.parameters={steps=30}")


def hours(found: Plan, stage: str) -> float:
    return next(one.gpu_hours for one in found.stages if one.name == stage)


def test_counts_follow_from_the_configuration() -> None:
    found = plan("voc", "prompts.prompts_per_class=10", "prompts.context_prompts_per_class=2", "images.images_per_prompt=3")
    assert (found.num_prompts, found.num_images, found.max_kept) == (240, 720, 480)
    assert found.gpu_hours == pytest.approx(sum(stage.gpu_hours for stage in found.stages))


def test_a_published_time_comes_out_as_it_was_published() -> None:
    found = plan("voc", *SDXL, "images.width=1024", "images.height=1024", "serving.max_pixels=1048576")
    assert hours(found, "images") * 3600 / found.num_images == pytest.approx(2.522)
    (images,) = (stage for stage in found.stages if stage.name == "images")
    assert not any("carried over" in source for source in images.sources)


def test_steps_pixels_and_gpus_count_in_proportion() -> None:
    base = hours(plan("voc", *SDXL), "images")
    assert hours(plan("voc", SDXL[0], "images.parameters={steps=15}"), "images") == pytest.approx(base / 2)
    assert hours(plan("voc", *SDXL, "images.width=384", "images.height=384"), "images") == pytest.approx(base / 4)
    other = plan("voc", *SDXL, gpu="l4")
    assert hours(other, "images") == pytest.approx(base * 312 / 121)
    assert any("estimate for L4" in source for stage in other.stages for source in stage.sources)


def test_a_vision_transformer_costs_what_timm_says() -> None:
    # GMACs of huggingface/pytorch-image-models results/benchmark-infer-amp-nchw-pt291-cu128-4090.csv
    assert rates.vit_gmacs("ViT-B-16-quickgelu", 224**2) == pytest.approx(17.58, rel=0.02)
    assert rates.vit_gmacs("ViT-B-32", 448**2) == pytest.approx(17.93, rel=0.03)
    assert rates.vit_gmacs("resnet50", 224**2) is None


def test_your_own_figures_go_first_and_a_model_without_any_is_refused() -> None:
    with pytest.raises(UsageProblem, match=r"^images\.model: no time is stated for 'acme/painter'; .*--image-seconds"):
        plan("voc", "images.model=acme/painter")
    found = plan("voc", "images.model=acme/painter", image_seconds=0.5)
    assert hours(found, "images") == pytest.approx(found.num_images * 0.5 / 3600)
    with pytest.raises(UsageProblem, match=r"^prompts\.model: .*--tokens-per-s"):
        plan("voc", "prompts.model=acme/writer")
    assert hours(plan("voc", "prompts.model=acme/writer", tokens_per_s=1000.0), "prompts") > 0


def test_the_embedded_preset_takes_no_gpu() -> None:
    found = plan("embedded")
    assert (found.gpu_hours, found.memory_gb, found.weights_gb) == (0, 0, 0)


def test_what_does_not_fit_is_said() -> None:
    found = plan("voc", "images.model=black-forest-labs/FLUX.1-schnell", gpu="l4")
    assert "does not fit the 24 GB of this GPU" in render(found)
    assert needed_memory_gb(load_config("voc", ["images.model=black-forest-labs/FLUX.1-schnell"])) == pytest.approx(35.2)
    assert needed_memory_gb(load_config("voc", ["images.model=acme/painter"])) is None


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("gpu", rates.gpu_names())
def test_every_number_has_a_source_that_says_what_it_is(preset: str, gpu: str) -> None:
    found = plan(preset, gpu=gpu)
    text = render(found)
    cited = {int(number) for group in re.findall(r"\[([\d,]+)\]$", text, re.MULTILINE) for number in group.split(",")}
    listed = {int(number) for number in re.findall(r"^\[(\d+)\] ", text, re.MULTILINE)}
    assert cited == listed == set(range(1, len(listed) + 1))
    for stage in found.stages:
        assert stage.gpu_hours == 0 or stage.sources
        assert all(re.search("published|estimate|assumption|your own", source) for source in stage.sources)


def test_the_command_takes_number_price_and_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._guarded(["plan", "voc", "--gpu", "4090", "--gpus", "4", "--price", "0.25", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    totals = found["totals"]
    assert totals["usd"] == pytest.approx(totals["gpu_hours"] * 0.25)
    assert totals["wall_hours"] == pytest.approx(totals["gpu_hours"] / 4)
    assert cli._guarded(["plan", "voc", "--gpu", "L4", "--json"]) == 0, "as Ray and the vendor write it"
    capsys.readouterr()
    for arguments, says in ((["--gpu", "h900"], "--gpu: 'h900' is not one of h100"), (["--gpus", "0"], "--gpus: must be at least 1")):
        assert cli._guarded(["plan", "voc", *arguments]) == 2
        assert says in capsys.readouterr().err


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(PAGE).read_text(encoding="utf-8")
    assert page(text) == text, "docs/sizing.md is out of date; run: python -m benchmarks.sizing"
    for command in commands(text):
        assert cli._guarded(command.split()[1:]) == 0
        assert f"$ {command}\n{capsys.readouterr().out}" in text
