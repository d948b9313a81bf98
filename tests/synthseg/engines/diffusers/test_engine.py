"""The engine on real pipelines with random weights: every family, its requests, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthseg.config.schema import ImagesConfig
from synthseg.engines.image import SAFE, UNCHECKED, UNWANTED, GeneratedImage, GenerationFailure, ImageRequest, PreviewingImageEngine
from synthseg.errors import UsageProblem
from synthseg.image_codec import decode_rgb

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from diffusers import DiffusionPipeline  # noqa: E402

from synthseg.engines.diffusers.engine import DiffusersEngine  # noqa: E402
from tests.hardware import needs_bf16  # noqa: E402
from tests.tiny_diffusers import FAMILIES, lora, safety_checker, stable_diffusion  # noqa: E402

PipelineFolder = Callable[[str], Path]
SIDE = 64
PROMPTS = ("a cat", "two horses in a meadow at dusk", "x", "a red bus on a city street, seen from afar")
BATCH_TOLERANCE = 1
"""Grey levels by which a batch may change a pixel here: fp32 on the CPU, whose last bit sometimes tips a rounding."""

DEVICES = [pytest.param("cpu"), pytest.param("cuda", marks=pytest.mark.gpu)]


def build(folder: Path, device: str = "cpu", **settings: Any) -> DiffusersEngine:
    if device == "cuda":
        assert torch.cuda.is_available(), "make test-gpu needs a CUDA GPU"
    values = {"dtype": "fp32", "width": SIDE, "height": SIDE, "parameters": {"steps": 3}, **settings}
    return DiffusersEngine(ImagesConfig(engine="diffusers", model=str(folder), **values))


def request(number: int = 0, **changes: Any) -> ImageRequest:
    fields: dict[str, Any] = {"width": SIDE, "height": SIDE, "parameters": {"steps": 3}, **changes}
    return ImageRequest(PROMPTS[number % len(PROMPTS)], fields.pop("seed", number), **fields)


def images(results: list[GeneratedImage | GenerationFailure]) -> list[GeneratedImage]:
    made = [result for result in results if isinstance(result, GeneratedImage)]
    assert len(made) == len(results), results
    return made


def apart(a: GeneratedImage, b: GeneratedImage) -> int:
    return int(np.abs(decode_rgb(a.encoded).astype(int) - decode_rgb(b.encoded)).max())


@pytest.fixture(autouse=True)
def only_where_asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests without the mark `gpu` stay on the CPU."""
    torch.set_num_threads(1)
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_paints_what_its_bare_pipeline_paints(pipeline: PipelineFolder, family: str, device: str) -> None:
    engine = build(pipeline(family), device)
    bare = DiffusionPipeline.from_pretrained(pipeline(family)).to(device)
    bare.set_progress_bar_config(disable=True)
    for asked, made in zip([request(0), request(1, width=128)], images(engine.generate([request(0), request(1, width=128)])), strict=True):
        expected = bare(
            [asked.prompt],
            width=asked.width,
            height=asked.height,
            num_inference_steps=3,
            generator=[torch.Generator().manual_seed(asked.seed)],
        ).images[0]
        assert (made.width, made.height, made.safety) == (asked.width, asked.height, UNCHECKED)
        difference = np.abs(decode_rgb(made.encoded).astype(int) - np.asarray(expected, int))
        assert difference.max() <= (0 if device == "cpu" else BATCH_TOLERANCE)
        assert decode_rgb(made.encoded).std() > 5


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_batches_of_1_and_of_8(pipeline: PipelineFolder, family: str, device: str) -> None:
    wanted = [request(i) for i in range(8)]
    exact, together = build(pipeline(family), device), build(pipeline(family), device, exact=False)
    one_by_one = [images(exact.generate([each]))[0] for each in wanted]
    assert [image.encoded for image in images(exact.generate(wanted))] == [image.encoded for image in one_by_one]
    batch = images(together.generate(wanted))
    assert max(apart(a, b) for a, b in zip(batch, one_by_one, strict=True)) <= BATCH_TOLERANCE
    assert min(apart(a, b) for a, b in itertools.combinations(batch, 2)) > 10 * BATCH_TOLERANCE, "different requests, different images"


def test_order_and_company_change_nothing(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    wanted = [request(0), request(1, width=128), request(2, parameters={"steps": 2}), request(3, negative_prompt="ugly")]
    forwards = images(engine.generate(wanted))
    assert images(engine.generate(wanted[::-1]))[::-1] == forwards
    assert images(build(pipeline("sd")).generate(wanted[2:3])) == forwards[2:3]


@pytest.mark.parametrize(("family", "parameters"), [("sdxl", {"steps": 3}), ("flux", {"steps": 3, "true_cfg_scale": 4.0})])
def test_the_negative_prompt_of_another_changes_nothing(pipeline: PipelineFolder, family: str, parameters: dict[str, Any]) -> None:
    engine = build(pipeline(family), exact=False)
    plain, other = request(0, parameters=parameters), request(1, parameters=parameters, negative_prompt="ugly")
    assert apart(images(engine.generate([plain, other]))[0], images(engine.generate([plain]))[0]) <= BATCH_TOLERANCE


def test_seed_steps_guidance_and_negative_prompt_each_count(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"parameters": {"steps": 4}},
        {"parameters": {"steps": 3, "guidance_scale": 2}},
        {"negative_prompt": "ugly"},
    ]
    made = images(engine.generate([request(0, **change) for change in changes]))
    assert len({image.encoded for image in made}) == len(changes)


def test_the_global_generator_is_left_alone(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    engine.generate([request(0)])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scheduler", ["EulerAncestralDiscreteScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler"])
def test_schedulers_that_draw_or_remember_keep_nothing_between_calls(pipeline: PipelineFolder, scheduler: str) -> None:
    engine = build(pipeline("sd"), scheduler=scheduler)
    first = images(engine.generate([request(0)]))
    engine.generate([request(1), request(2, parameters={"steps": 7})])
    assert images(engine.generate([request(0)])) == first
    assert first != images(build(pipeline("sd")).generate([request(0)]))


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_lcm_s_scheduler_paints_with_a_lora_beside_it(pipeline: PipelineFolder, tmp_path: Path, family: str) -> None:
    """As LCM-LoRA is used: few steps, little guidance, its own scheduler."""
    distilled = {"scheduler": "LCMScheduler", "parameters": {"steps": 4, "guidance_scale": 1.0}}
    engine = build(pipeline(family), lora=str(lora(pipeline(family), tmp_path / "lora")), **distilled)
    asked = request(0, parameters={"steps": 4, "guidance_scale": 1.0})
    first = images(engine.generate([asked]))
    assert images(engine.generate([asked])) == first
    plain = images(build(pipeline(family), **distilled).generate([asked]))
    assert apart(first[0], plain[0]) > 10


@pytest.mark.parametrize(
    ("family", "changes", "says"),
    [
        ("sd", {"width": 60}, "width: must be a multiple of 8 pixels for StableDiffusionPipeline, not 60"),
        ("flux", {"height": 72}, "height: must be a multiple of 16 pixels for FluxPipeline, not 72"),
        ("z-image", {"height": 0}, "height: must be a multiple of 16"),
        ("sd", {"parameters": {"steps": 0}}, "steps: must be at least 1"),
        ("sd", {"parameters": {"steps": 2.5}}, "steps: StableDiffusionPipeline takes int"),
        ("sd", {"parameters": {"guidance_scale": float("nan")}}, "guidance_scale:"),
        (
            "sd",
            {"parameters": {"guidance": 3}},
            "guidance: StableDiffusionPipeline takes no such parameter; did you mean 'guidance_scale'?",
        ),
        ("sd", {"parameters": {"latents": 1}}, "latents: StableDiffusionPipeline takes no such parameter"),
        ("z-image", {"parameters": {"true_cfg_scale": 3.0}}, "true_cfg_scale: ZImagePipeline takes no such parameter"),
        ("flux", {"negative_prompt": "ugly"}, "negative_prompt: FluxPipeline reads it only with true_cfg_scale above 1"),
        ("z-image", {"negative_prompt": "x", "parameters": {"guidance_scale": 0}}, "negative_prompt: ZImagePipeline reads none with"),
        ("sd", {"negative_prompt": "x", "parameters": {"guidance_scale": 1.0}}, "negative_prompt: StableDiffusionPipeline reads none with"),
        ("sdxl", {"negative_prompt": "x", "parameters": {"guidance_scale": 0.5}}, "negative_prompt: StableDiffusionXLPipeline reads none"),
        ("sd", {"parameters": {"steps": 1001}}, "steps: EulerDiscreteScheduler makes at most 1000"),
        ("flux", {"parameters": {"sigmas": []}}, "sigmas: must not be empty"),
    ],
)
def test_what_a_pipeline_cannot_do_fails_alone_and_names_the_field(
    pipeline: PipelineFolder, family: str, changes: dict[str, Any], says: str
) -> None:
    engine = build(pipeline(family), exact=False)
    before, failed, after = engine.generate([request(0), request(1, **changes), request(2)])
    assert isinstance(failed, GenerationFailure)
    assert failed.error.startswith(says)
    assert not failed.retryable
    assert images([before, after]) == images(engine.generate([request(0), request(2)]))


def test_flux_takes_a_negative_prompt_with_true_guidance(pipeline: PipelineFolder) -> None:
    parameters = {"steps": 3, "true_cfg_scale": 4.0}
    engine = build(pipeline("flux"))
    made = images(engine.generate([request(0, parameters=parameters, negative_prompt=text) for text in ("ugly", "blue sky")]))
    assert made[0].encoded != made[1].encoded


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 60}, "images.width: must be a multiple of 8"),
        ({"parameters": {"stepz": 3}}, "images.parameters.stepz: .* did you mean 'steps'?"),
        (
            {"scheduler": "FlowMatchHeunScheduler"},
            "images.scheduler: 'FlowMatchHeunScheduler' does not fit StableDiffusionPipeline; it takes .*DDIM",
        ),
        ({"attention": "flash_hub"}, "images.attention: 'flash_hub' downloads"),
        ({"attention": "native"}, "images.attention: UNet2DConditionModel has no choice"),
        ({"offload": True}, "images.offload: needs a GPU"),
    ],
)
def test_settings_that_cannot_be_are_named(pipeline: PipelineFolder, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageProblem, match=says):
        build(pipeline("sd"), **settings)


def test_an_attention_backend_is_chosen_by_name(pipeline: PipelineFolder) -> None:
    plain, chosen = build(pipeline("flux")), build(pipeline("flux"), attention="_native_math")
    assert apart(images(plain.generate([request(0)]))[0], images(chosen.generate([request(0)]))[0]) <= BATCH_TOLERANCE
    assert plain.digest != chosen.digest
    with pytest.raises(UsageProblem, match="'nosuch' cannot be used here"):
        build(pipeline("flux"), attention="nosuch")


@pytest.mark.parametrize("dtype", [pytest.param("bf16", marks=needs_bf16), "fp16"])
def test_half_precision_is_near_to_full(pipeline: PipelineFolder, dtype: str) -> None:
    full, half = (images(build(pipeline("sd"), dtype=kind).generate([request(0)]))[0] for kind in ("fp32", dtype))
    difference = np.abs(decode_rgb(full.encoded).astype(int) - decode_rgb(half.encoded))
    assert 0 < difference.mean() < 8


@pytest.mark.parametrize(("setting", "digest_as"), [("bf16", "bf16"), ("fp32", "fp32")])
def test_an_automatic_dtype_is_what_the_hardware_is_made_for_and_the_digest_says_which(
    pipeline: PipelineFolder, monkeypatch: pytest.MonkeyPatch, setting: str, digest_as: str
) -> None:
    monkeypatch.setattr("synthseg.engines.diffusers.loading.resolve", lambda _setting, _device: setting)
    engine = build(pipeline("sd"), dtype="auto")
    assert next(engine._pipe.unet.parameters()).dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[setting]
    assert engine.digest == build(pipeline("sd"), dtype=digest_as).digest


def test_pixels_that_are_no_numbers_are_a_failure_not_a_black_image(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"), dtype="fp16", exact=False)
    with torch.no_grad():
        next(engine._pipe.vae.decoder.parameters()).fill_(60000)  # what overflow in fp16 comes from
    (failed,) = engine.generate([request(0)])
    assert isinstance(failed, GenerationFailure)
    assert failed.error == "pixels: the model made some that are no numbers; set images.dtype = 'bf16' or 'fp32'"


class Fragile:
    """A pipeline that runs out of memory beyond `most` images, and on a poisoned prompt."""

    def __init__(self, pipe: Any, most: int, error: Exception) -> None:
        self.__dict__.update(pipe=pipe, most=most, error=error, sizes=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.pipe, name, value)

    def __call__(self, **arguments: Any) -> Any:
        self.sizes.append(len(arguments["prompt"]))
        if len(arguments["prompt"]) > self.most or "poison" in arguments["prompt"]:
            raise self.error
        return self.pipe(**arguments)


def test_a_batch_too_large_for_the_memory_is_halved_and_the_limit_remembered(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"), exact=False)
    wanted = [request(i) for i in range(8)]
    expected = images(engine.generate(wanted))
    engine._pipe = fragile = Fragile(engine._pipe, 2, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    for _ in range(2):
        assert max(apart(a, b) for a, b in zip(images(engine.generate(wanted)), expected, strict=True)) <= BATCH_TOLERANCE
    assert fragile.sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]


def test_one_image_too_large_for_the_memory_may_be_tried_again(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    engine._pipe = Fragile(engine._pipe, 0, torch.OutOfMemoryError("CUDA out of memory"))
    assert engine.generate([request(0)]) == [GenerationFailure("memory: one image of 64x64 does not fit on cpu", retryable=True)]


def test_a_poisoned_prompt_fails_alone(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"), exact=False)
    engine._pipe = Fragile(engine._pipe, 8, IndexError("index 7 is out of range"))
    results = engine.generate([request(0), request(1), ImageRequest("poison", 0, SIDE, SIDE, "", {"steps": 3}), request(3)])
    assert results[2] == GenerationFailure("IndexError: index 7 is out of range", retryable=False)
    images([results[0], results[1], results[3]])


def test_a_broken_device_is_raised_so_that_the_replica_ends(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    engine._pipe = Fragile(engine._pipe, 0, torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(torch.AcceleratorError):
        engine.generate([request(0)])


@pytest.mark.parametrize("family", FAMILIES)
def test_previews_form_towards_the_image_and_change_nothing(pipeline: PipelineFolder, family: str) -> None:
    engine = build(pipeline(family), exact=False)
    assert isinstance(engine, PreviewingImageEngine)
    wanted = [request(i, parameters={"steps": 6}) for i in range(2)]
    shown: list[tuple[int, GeneratedImage]] = []
    results = images(engine.generate_with_previews(wanted, [0, 3], lambda index, image: shown.append((index, image))))
    assert results == images(engine.generate(wanted))
    assert [index for index, _ in shown] == [1, 1, 1]
    distances = [np.abs(decode_rgb(image.encoded).astype(int) - decode_rgb(results[1].encoded)).mean() for _, image in shown]
    assert distances == sorted(distances, reverse=True)
    assert {(image.width, image.height) for _, image in shown} == {(SIDE, SIDE)}


def test_offload_shows_no_previews(pipeline: PipelineFolder) -> None:
    engine = build(pipeline("sd"))
    wanted, shown = [request(0, parameters={"steps": 6})], list[int]()
    plain = engine.generate(wanted)
    engine._images = engine._images.model_copy(update={"offload": True})  # what moves networks about needs a GPU
    assert engine.generate_with_previews(wanted, [3], lambda index, _: shown.append(index)) == plain
    assert shown == []


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_nobody_waits_for_is_left_out_and_ends_at_its_next_step(pipeline: PipelineFolder, family: str, exact: bool) -> None:
    engine = build(pipeline(family), exact=exact)
    asked = [request(i, parameters={"steps": 6}) for i in range(3)]
    whole = images(engine.generate(asked))
    passes: list[int] = []
    denoiser = next(part for name in ("transformer", "unet") if (part := getattr(engine._pipe, name, None)) is not None)
    hook = denoiser.register_forward_hook(lambda *_: passes.append(1))
    engine.generate(asked[:1])
    passes_of_one = len(passes)

    left: set[int] = set()
    for everybody in (False, True):
        passes.clear()
        left.clear()
        # Those who leave do so once the first step of the first call is shown.
        leavers = {0, 1, 2} if everybody else {0, 1}
        made = engine.generate_with_previews(asked, [6, 0, 0], lambda *_: left.update(leavers), lambda index: index not in left)  # noqa: B023
        if everybody:
            assert made == [UNWANTED] * 3
            assert len(passes) < passes_of_one, "the call under way ended early and no other began"
        else:
            assert made[:2] == [UNWANTED] * 2
            assert made[2] == whole[2], "a batch goes on for those who wait"
    hook.remove()
    assert images(engine.generate(asked)) == whole


def test_the_safety_verdict_is_a_column_and_the_image_stays(pipeline: PipelineFolder, tmp_path: Path) -> None:
    plain = images(build(pipeline("sd")).generate([request(0)]))[0]
    strict = stable_diffusion(tmp_path / "strict", safety_threshold=-2.0)  # below every cosine
    lenient = stable_diffusion(tmp_path / "lenient", safety_threshold=2.0)
    for folder, settings, verdict in (
        (strict, {}, "nsfw"),
        (lenient, {}, SAFE),
        (strict, {"safety_checker": "off"}, UNCHECKED),
        (pipeline("sd"), {"safety_checker": str(safety_checker(tmp_path / "checker", -2.0))}, "nsfw"),
    ):
        shown: list[int] = []
        engine = build(folder, **settings)
        (made,) = images(engine.generate_with_previews([request(0)], [2], lambda index, _: shown.append(index)))  # noqa: B023
        assert (made.safety, made.is_withheld) == (verdict, verdict == "nsfw")
        assert made.encoded == plain.encoded
        assert len(shown) == (0 if verdict == "nsfw" else 2)


def test_a_lora_changes_the_image_by_its_scale_and_leaves_no_trace(pipeline: PipelineFolder, tmp_path: Path) -> None:
    weights = lora(pipeline("sd"), tmp_path / "lora")
    before = build(pipeline("sd"))
    plain = images(before.generate([request(0)]))[0]
    full, file, none = (
        build(pipeline("sd"), **settings)
        for settings in ({"lora": str(weights)}, {"lora": str(next(weights.iterdir()))}, {"lora": str(weights), "lora_scale": 0.0})
    )
    painted = [images(engine.generate([request(0)]))[0] for engine in (full, file, none)]
    assert apart(painted[0], plain) > 10
    assert painted[1].encoded == painted[0].encoded
    assert apart(painted[2], plain) <= BATCH_TOLERANCE
    after = build(pipeline("sd"))
    assert images(after.generate([request(0)]))[0].encoded == plain.encoded
    assert after.digest == before.digest
    assert len({before.digest, full.digest, none.digest}) == 3
    assert full.digest == file.digest
    with pytest.raises(UsageProblem, match=r"images\.lora: .* FluxPipeline"):
        build(pipeline("flux"), lora=str(weights))


def test_the_digest_follows_the_content(pipeline: PipelineFolder, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    digests = {name: build(pipeline(name)).digest for name in FAMILIES}
    copy = tmp_path / "copy"
    shutil.copytree(pipeline("sd"), copy)
    assert build(copy).digest == digests["sd"], "where the files lie does not count"
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.bias"] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    changed = {
        build(copy).digest,
        *(build(pipeline("sd"), **s).digest for s in ({"dtype": "bf16"}, {"exact": False}, {"scheduler": "DDIMScheduler"})),
    }
    scheduler = copy / "scheduler" / "scheduler_config.json"
    scheduler.write_text(
        json.dumps({**json.loads(scheduler.read_text(encoding="utf-8")), "timestep_spacing": "trailing"}), encoding="utf-8"
    )
    changed.add(build(copy).digest)
    assert len(changed | set(digests.values())) == 5 + len(digests)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, Any], str]:
    """The folder in which torch.compile keeps its kernels once an engine has been built on a CPU of that kind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # for the environment to be put back whatever is set in the meantime
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")

    def folder(kind: str, model: Any) -> str:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kind)
        build(model, compile=True)
        return os.environ["TORCHINDUCTOR_CACHE_DIR"]

    return folder


def test_kernels_of_other_vector_units_are_never_met(
    pipeline: PipelineFolder, kernels: Callable[[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kernels("AVX2", pipeline("z-image"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    assert kernels("AVX512", pipeline("z-image")) != first
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    assert kernels("AVX2", pipeline("z-image")) == "/mine"


@pytest.mark.slow
@pytest.mark.usefixtures("kernels")
def test_a_compiled_denoiser_paints_the_same(pipeline: PipelineFolder) -> None:
    if shutil.which("g++") is None and shutil.which("gcc") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    plain, compiled = build(pipeline("z-image")), build(pipeline("z-image"), compile=True)
    a, b = (images(engine.generate([request(0)]))[0] for engine in (plain, compiled))
    assert apart(a, b) <= BATCH_TOLERANCE
    assert plain.digest != compiled.digest
