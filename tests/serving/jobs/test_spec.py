from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_origin

import pytest

from serving.jobs.limits import MOST, has_bound, limits
from serving.jobs.spec import is_open, run_config
from synthseg.config import RunConfig, load_config
from synthseg.config.loading import preset_names, setting_names, to_toml
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem


@pytest.fixture
def served() -> RunConfig:
    settings = ["serving.state_dir=/srv/state", "execution.workers=3", "execution.address=10.0.0.1:6379", "prompts.temperature=0.5"]
    return load_config("embedded", settings)


def test_the_served_preset_keeps_the_servers_settings(served: RunConfig) -> None:
    config = run_config(served, {"classes": ["horse"], "per_class": 7, "seed": 5, "settings": ["prompts.max_rounds=2"]})
    assert config.prompts.temperature == 0.5
    assert (config.classes, config.seed, config.prompts.max_rounds) == (("horse",), 5, 2)
    assert config.prompts.prompts_per_class == 3  # ceil(7 / scoring.keep_per_prompt)
    assert run_config(served, {}).fingerprint() == served.fingerprint()


def test_a_run_equals_the_command_lines(served: RunConfig) -> None:
    job = run_config(served.model_copy(update={"prompts": load_config("embedded").prompts}), {"classes": ["cat"], "seed": 3})
    assert job.fingerprint() == load_config("embedded", classes=["cat"], seed=3).fingerprint()


def test_another_preset_comes_from_the_package_on_the_servers_machines(served: RunConfig) -> None:
    config = run_config(served, {"preset": "voc", "settings": ["execution.shard_size=16"]})
    assert config.preset == "voc"
    assert config.execution.shard_size == 16
    assert (config.execution.workers, config.execution.address) == (3, "10.0.0.1:6379")


def test_the_servers_own_settings_do_not_reach_the_runs_folder(served: RunConfig) -> None:
    assert run_config(served, {}).serving == ServingConfig()


def test_a_run_with_large_pictures_can_be_read_by_its_command(tmp_path: Path) -> None:
    served = load_config("embedded", ["serving.max_pixels=4194304"])
    job = run_config(served, {"settings": ["images.width=2048", "images.height=2048"]})
    (tmp_path / "job.toml").write_text(to_toml(job), encoding="utf-8")
    assert load_config(str(tmp_path / "job.toml")).images.width == 2048


def test_a_run_that_needs_the_servers_gpus_joins_its_cluster() -> None:
    assert run_config(load_config("embedded", ["execution.num_gpus_per_replica=1"]), {}).execution.address == "auto"
    assert run_config(load_config("embedded"), {}).execution.address == ""


@pytest.mark.parametrize(
    "setting",
    [
        "serving.state_dir=/tmp",
        "serving.port=1",
        "execution.workers=64",
        "execution.num_gpus_per_replica=8",
        "execution.address=ray://elsewhere:10001",
        "prompts.model=/etc/passwd",
        "images.model=someone/else",
        "scoring.weights=/etc/passwd",
        "segmenter.clip_weights=/etc/passwd",
        "segmenter.dino_model=x",
        "evaluation.dataset=folder:/etc",
        "preset=/etc/passwd",
        "images.parameters={scheduler='/etc/passwd'}",
        "images.parameters.scheduler=/etc/passwd",
        "images.parameters.steps=[1]",
        "images.parameters.a.b=/etc/passwd",
        "images.parameters.a.b=1",
        "images.parameters.=1",
        "images.parameters.a b=1",
        "images.lora_file=/etc/passwd",
        "images.safety_checker=https://example.org/x",
        "images.trust_remote_code=yes",
        "execution.endpoint.api_key_env=HOME",
        "execution.vllm.num_cpus=64",
        "prompts={model='/etc/passwd'}",
        "prompts.base_url=http://169.254.169.254/",
        " prompts.model = /etc/passwd",
        "prompts.model",
    ],
)
def test_places_and_machines_are_the_servers(served: RunConfig, setting: str) -> None:
    with pytest.raises(UsageProblem, match=r"^settings: "):
        run_config(served, {"settings": [setting]})


@pytest.mark.parametrize("preset", ["/etc/passwd", "../x.toml", "nonsense"])
def test_a_preset_is_a_name(served: RunConfig, preset: str) -> None:
    with pytest.raises(UsageProblem, match=r"^preset: .* use one of coco, embedded, laptop, voc"):
        run_config(served, {"preset": preset})


def test_content_settings_may_be_chosen(served: RunConfig) -> None:
    settings = ["images.negative_prompt=blurry, dark", "images.parameters.steps=30", "images.width=96", "segmenter.text_templates=['a {}']"]
    config = run_config(served, {"settings": settings})
    assert config.images.negative_prompt == "blurry, dark"
    assert config.images.parameters == {"steps": 30}
    assert config.segmenter.text_templates == ("a {}",)


@pytest.mark.parametrize("setting", ["segmenter.learning_rate=inf", "classifier.weight_decay=nan", "segmenter.ignore_band=-inf"])
def test_infinity_and_nan_are_refused_by_name(served: RunConfig, setting: str) -> None:
    with pytest.raises(UsageProblem, match=f"^{setting.partition('=')[0]}: must be"):
        run_config(served, {"settings": [setting]})


def test_a_wrong_setting_is_answered_with_the_nearest(served: RunConfig) -> None:
    with pytest.raises(UsageProblem, match=r"did you mean 'prompts.max_rounds'"):
        run_config(served, {"settings": ["prompts.max_roundz=2"]})


def test_whatever_may_be_chosen_is_a_bounded_number_a_switch_a_word_of_a_list_or_content() -> None:
    """A new setting is closed to clients until somebody has thought of it; a number is open as soon as it has an upper bound."""
    choice = {name for name in setting_names() if is_open(name)}
    texts = {"classes", "images.negative_prompt", "segmenter.text_templates"}
    for name in choice - texts:
        field: Any = None
        model: Any = RunConfig
        for part in name.split("."):
            field = model.model_fields[part]
            model = field.annotation
        assert model is bool or get_origin(model) is Literal or has_bound(name), name
    assert texts < choice
    assert not [name for name in choice if name.startswith("serving.")]


def test_every_bound_is_of_a_setting_and_none_is_below_a_preset() -> None:
    for preset in preset_names():
        config = load_config(preset)
        for name, most in MOST.items():
            value: Any = config
            for part in name.split("."):
                value = getattr(value, part)
            values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
            assert all(number <= most for number in values if isinstance(number, int | float)), (preset, name)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("execution.stall_timeout_s=1e18", "execution.stall_timeout_s may be at most 3600"),
        ("execution.stall_timeout_s=inf", "execution.stall_timeout_s"),
        ("segmenter.iterations=1000000000", "segmenter.iterations may be at most 100000"),
        ("images.images_per_prompt=100000000", "images.images_per_prompt may be at most 64"),
        ("images.width=3000", "images.width may be at most 2048"),
        ("images.parameters.steps=1e9", "images.parameters.steps may be at most 1000"),
        ("images.parameters.guidance_scale=1e999", "images.parameters.guidance_scale may be at most 1000 over HTTP, not inf|finite"),
        ("images.parameters.guidance_scale=-1e9", "images.parameters.guidance_scale"),
        ("classifier.learning_rate=nan", "classifier.learning_rate"),
        ("evaluation.scales=[1.0, 1e9]", "evaluation.scales may be at most 4"),
        (f"evaluation.scales={[1.0] * 17}", "evaluation.scales has 17 values"),
        (f"segmenter.text_templates=['{'x' * 400}', '{'y' * 601}']", "segmenter.text_templates has more than 1000 characters"),
        (f"images.negative_prompt={'x' * 1001}", "images.negative_prompt has more than 1000 characters"),
        ("execution.max_in_flight=100000", "execution.max_in_flight may be at most 1024"),
    ],
)
def test_a_number_beyond_its_bound_is_refused_by_name(served: RunConfig, setting: str, says: str) -> None:
    with pytest.raises(UsageProblem, match=says):
        run_config(served, {"settings": [setting]})


def test_the_number_of_images_is_bounded_in_all(served: RunConfig) -> None:
    few = served.model_copy(update={"serving": served.serving.model_copy(update={"max_job_images": 5000})})
    with pytest.raises(UsageProblem, match="would make 12800 images; one over HTTP makes at most 5000"):
        run_config(few, {"classes": ["cat"], "settings": ["images.images_per_prompt=64", "prompts.prompts_per_class=198"]})
    with pytest.raises(UsageProblem, match=r"prompts.prompts_per_class may be at most 1000"):
        run_config(served, {"per_class": 100_000})
    assert run_config(few, {"preset": "coco"}).preset == "coco"  # the preset's own number is its owner's choice


def test_the_server_s_owner_sets_the_bounds_and_is_not_bound_by_them() -> None:
    own = load_config("embedded", ["serving.job_limits.images.width=100", "images.width=4096", "segmenter.iterations=200000"])
    assert run_config(own, {"classes": ["cat"]}).images.width == 4096
    with pytest.raises(UsageProblem, match=r"images.width may be at most 100 over HTTP, not 101"):
        run_config(own, {"settings": ["images.width=101"]})
    assert run_config(own, {"settings": ["images.width=100"]}).images.width == 100


@pytest.mark.parametrize("name", ["images.widht", "images", "prompts.model"])
def test_a_bound_on_nothing_is_refused(name: str) -> None:
    section, _, key = name.partition(".")
    table = {section: {key: 1.0}} if key else {"nothing": {section: 1.0}}
    with pytest.raises(UsageProblem, match=r"^serving.job_limits: .* has no limit here"):
        limits(ServingConfig(job_limits=table))
