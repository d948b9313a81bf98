from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from synthseg.config import RunConfig, load_config, to_toml
from synthseg.config.loading import preset_names, setting_names
from synthseg.errors import UsageProblem
from synthseg.store.run_folder import RunFolder
from synthseg.taxonomy import taxonomy


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_is_valid_and_its_resolved_file_reads_back_equal(preset: str, tmp_path: Path) -> None:
    config = load_config(preset)
    path = tmp_path / "resolved.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert config.preset == preset
    assert load_config(str(path)) == config


def test_presets_are_listed_with_the_default_first() -> None:
    assert preset_names() == ("embedded", "coco", "laptop", "voc")


def test_a_preset_without_classes_takes_all_of_its_taxonomy() -> None:
    assert load_config("coco").classes == tuple(c.name for c in taxonomy("coco").classes)


def test_classes_become_canonical_and_take_mask_order() -> None:
    assert load_config("embedded", classes=["dog", " Airplane", "cat"]).classes == ("aeroplane", "cat", "dog")


def test_per_class_counts_kept_images() -> None:
    config = load_config("embedded", ["scoring.keep_per_prompt=3"], per_class=10)
    assert config.prompts.prompts_per_class == 4


def test_short_flags_win_over_settings() -> None:
    config = load_config("embedded", ["seed=1", "execution.workers=5"], seed=7, workers=3)
    assert (config.seed, config.execution.workers) == (7, 3)


def test_overrides_are_toml_values_and_text_fields_take_bare_words() -> None:
    config = load_config(
        "embedded",
        [
            "evaluation.scales=[1.0, 1.5]",
            "evaluation.flip=false",
            "prompts.model=007",
            'scoring.weights="a b"',
            "images.parameters.haze=0.5",
        ],
    )
    assert config.evaluation.scales == (1.0, 1.5)
    assert config.evaluation.flip is False
    assert config.prompts.model == "007"
    assert config.scoring.weights == "a b"
    assert config.images.parameters["haze"] == 0.5


def test_execution_is_no_part_of_the_fingerprint_and_the_seed_is() -> None:
    base = load_config("embedded")
    assert load_config("embedded", workers=7).fingerprint() == base.fingerprint()
    assert load_config("embedded", seed=1).fingerprint() != base.fingerprint()


def test_a_file_that_names_a_preset_says_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "voc"\n[images]\nwidth = 512\nparameters = { steps = 4 }\n', encoding="utf-8")
    config = load_config(str(path))
    assert (config.images.width, config.images.height) == (512, load_config("voc").images.height)
    assert config.images.parameters == {"steps": 4}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("promts.engine=x", "promts.engine: is not a setting; did you mean 'prompts.engine'?"),
        ("prompts_per_class=4", "did you mean 'prompts.prompts_per_class'?"),
        ("prompts.engine=lama", "prompts.engine: 'lama' is not one of llama, template, openai, vllm; did you mean 'llama'?"),
        ("prompts.max_rounds=abc", 'prompts.max_rounds: expected a whole number, not "abc"'),
        ("prompts.max_rounds=0", "prompts.max_rounds: must be greater than 0, not 0"),
        ("prompts.max_rounds=1.5", "prompts.max_rounds: expected a whole number"),
        ("evaluation.flip=1", "evaluation.flip: expected true or false, not 1"),
        ("evaluation.scales=1", "evaluation.scales: expected a list"),
        ("evaluation.scales=[]", "evaluation.scales: must name at least one positive scale"),
        ("seed=true", "seed: expected a whole number, not true"),
        ("seed=-1", "seed: must be greater than or equal to 0"),
        ("seed=281474976710656", "seed: 281474976710656 must be below 2**48"),
        ("execution.stall_timeout_s=nan", "execution.stall_timeout_s: must be greater than 0"),
        ("execution.stall_timeout_s=inf", "execution.stall_timeout_s: must be a finite number, not Infinity"),
        ("images.lora_scale=nan", "images.lora_scale: must be a finite number, not NaN"),
        ("evaluation.scales=[1.0, inf]", "evaluation.scales: must be a finite number"),
        ("images.parameters.haze=-inf", "images.parameters: must be a finite number"),
        ("images.parameters={haze = [0.1, nan]}", "images.parameters: must be a finite number"),
        ("prompts=1", "prompts: is a section"),
        ("seed.x=1", "seed.x: 'seed' is a value, not a table"),
        ("images.parameters=4", "images.parameters: expected a table"),
        ("classes=cat", "classes: expected a list in brackets"),
        ('classes=["unicorn"]', "'unicorn' is not a class of voc"),
        ("no-equals-sign", "write it as section.key=value"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(override: str, message: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        load_config("embedded", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["scoring.keep_per_prompt=9"], "cannot exceed images.images_per_prompt"),
        (["scoring.absent_threshold=0.9"], "must not exceed scoring.present_threshold"),
        (["relabel.present_threshold=0.9", "relabel.absent_threshold=0.95"], "must not exceed relabel.present_threshold"),
        (["relabel.drop_threshold=0.4"], "must not exceed relabel.absent_threshold"),
        (["taxonomy=coco", 'classes=["cat"]'], "'painter' knows the classes of VOC only"),
        (["images.engine=diffusers"], "images.model: is empty"),
        (["images.engine=diffusers", "images.model=m", "images.dtype=float16"], "is not one of bf16, fp16, fp32"),
        (["images.engine=diffusers", "images.model=m", "images.trust_remote_code=true"], "images.trust_remote_code: must be 'm'"),
        (["images.lora=x"], "images.lora: is a setting of 'diffusers'"),
        (["segmenter.mode=clip_dino"], "segmenter.dino_model: is empty"),
        (["evaluation.dataset=feild"], "must be field, voc:PATH, coco:PATH or folder:PATH"),
        (["evaluation.dataset=voc:"], "must be field, voc:PATH, coco:PATH or folder:PATH"),
        (["taxonomy=coco", "images.engine=diffusers", 'classes=["cat"]'], "'field' holds the classes of VOC only"),
        (["prompts.engine=openai", "prompts.model=m"], "prompts.base_url: is empty; give the endpoint's address"),
        (["prompts.base_url=localhost:8000"], "prompts.base_url: must begin with http:// or https://"),
        (["prompts.base_url=http://[/v1"], "prompts.base_url: must begin with http:// or https://"),
        (["prompts.engine=openai", "prompts.base_url=http://h/v1"], "prompts.model: is empty; name the model that the endpoint serves"),
        (["prompts.engine=vllm"], "prompts.model: is empty; name a hub id or a folder of weights"),
        (["prompts.lora=/adapter"], "prompts.lora: engine 'llama' takes none"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageProblem, match=r"^[a-z]") as caught:
        load_config("embedded", overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("url", ["https://me:sk-secret@h/v1", "https://h/v1?key=sk-secret", "https://h/v1#sk-secret"])
def test_an_address_with_a_key_in_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageProblem, match="put the key into the variable OPENAI_API_KEY") as caught:
        load_config("embedded", ["prompts.engine=openai", "prompts.model=m", f"prompts.base_url={url}"])
    assert "sk-secret" not in str(caught.value)


def test_what_decides_the_text_is_content_and_how_it_is_made_is_not() -> None:
    base = load_config("voc").fingerprint()
    for setting in ("prompts.revision=main", "prompts.dtype=float16", "prompts.lora=/adapter", "prompts.model=other"):
        assert load_config("voc", [setting]).fingerprint() != base
    for setting in ("execution.vllm.tensor_parallel_size=4", "execution.vllm.bundles=[{CPU = 1}]", "execution.endpoint.max_retries=1"):
        assert load_config("voc", [setting]).fingerprint() == base


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageProblem, match="'embeded' is unknown; did you mean 'embedded'"):
        load_config("embeded")


def test_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(UsageProblem, match="did you mean 'horse'"):
        load_config("embedded", classes=["hrose"])


@pytest.mark.parametrize("per_class", [0, -3])
def test_a_quota_below_one_is_refused(per_class: int) -> None:
    with pytest.raises(UsageProblem, match="per_class: must be at least 1"):
        load_config("embedded", per_class=per_class)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = = 1", "not valid TOML"),
        ('preset = "embedded"\nsead = 1\n', "sead: is not a setting; did you mean 'seed'?"),
        ('preset = "mine"\ntaxonomy = "voc"\n', "prompts: is required"),
        ('preset = "embedded"\nexecution = 3\n', "execution: expected a table of settings"),
        ("\xff", "cannot be read as text"),
    ],
)
def test_a_bad_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageProblem) as caught:
        load_config(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no such configuration file"):
        load_config(str(tmp_path / "none.toml"))


def test_setting_names_reach_every_section() -> None:
    names = setting_names()
    assert {"seed", "prompts.diversity_threshold", "segmenter.par_iterations", "execution.workers"} <= set(names)
    assert not any(name.startswith("_") for name in names)


def test_one_setting_of_a_deployment_keeps_its_other_defaults() -> None:
    before, after = load_config("embedded").serving, load_config("embedded", ["serving.gateway.num_replicas=2"]).serving
    assert after.gateway == before.gateway.model_copy(update={"num_replicas": 2})


def test_serving_settings_leave_the_fingerprint_alone() -> None:
    assert (
        load_config("embedded", ["serving.port=9", "serving.image.max_batch_size=2"]).fingerprint() == load_config("embedded").fingerprint()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["serving.min_side_px=64", "serving.max_side_px=32"], "serving.min_side_px: must not exceed"),
        (["serving.max_pixels=100"], "serving.max_pixels: 100 is less than images.width"),
        (['serving.sizes=["128"]'], "serving.sizes: '128' must be WIDTHxHEIGHT"),
        (["serving.image.min_replicas=3", "serving.image.max_replicas=2"], "serving.image.min_replicas: must not exceed"),
        (["serving.image.replicas=3"], "serving.image.replicas: is not a setting; did you mean 'serving.image.num_replicas'"),
    ],
)
def test_serving_settings_that_contradict_each_other_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        load_config("embedded", settings)
    assert message in str(caught.value)


def test_settings_that_the_painter_does_not_read_are_no_part_of_its_runs() -> None:
    painted = load_config("embedded").model_dump(mode="json")["images"]
    assert "dtype" not in painted
    base = ["images.engine=diffusers", "images.model=m"]
    plain, changed = (load_config("embedded", [*base, *more]) for more in ((), ("images.dtype=fp32",)))
    assert plain.generation_fingerprint() != changed.generation_fingerprint()
    assert plain.model_dump(mode="json")["images"]["dtype"] == "bf16"


def float_settings() -> list[str]:
    """Every setting that takes a number with a fraction, alone or in a list."""

    def kinds(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from kinds(field.annotation, f"{prefix}{name}.")
            else:
                yield prefix + name, str(field.annotation)

    return [name for name, kind in kinds(RunConfig) if "float" in kind and "dict" not in kind and "Literal" not in kind]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_no_setting_takes_infinity_or_nan(value: str, tmp_path: Path) -> None:
    names = float_settings()
    assert len(names) > 30
    for name in names:
        given = f"[{value}]" if name.endswith("scales") else value
        section, _, key = name.rpartition(".")
        path = tmp_path / "inf.toml"
        path.write_text(f'preset = "embedded"\n[{section}]\n{key} = {given}\n', encoding="utf-8")
        for arguments in (("embedded", [f"{name}={given}"]), (str(path), [])):
            with pytest.raises(UsageProblem, match=rf"^{re.escape(name)}[.\d]*: must be"):
                load_config(*arguments)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b'\xef\xbb\xbfpreset = "embedded"\r\nseed = 3\r\n')
    assert load_config(str(path)) == load_config("embedded", seed=3)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_one_line_with_the_fix(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes('preset = "embedded"\n'.encode(encoding))
    with pytest.raises(UsageProblem, match=r"notepad\.toml: cannot be read as text: .*; save it as UTF-8$"):
        load_config(str(path))


def test_a_home_folder_in_a_path_is_put_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text('preset = "embedded"\nseed = 5\n', encoding="utf-8")
    assert load_config("~/mine.toml").seed == 5
    assert RunFolder.create("~/run", load_config("embedded")).files.local_root == tmp_path / "run"
    for use in (load_config, RunFolder.open):
        with pytest.raises(UsageProblem, match=r"'~nobody-of-this-name/x\.toml' begins with no user of this machine"):
            use("~nobody-of-this-name/x.toml")
