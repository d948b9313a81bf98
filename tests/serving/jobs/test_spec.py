from __future__ import annotations

import pytest

from serving.jobs.spec import run_config
from synthseg.config import RunConfig, load_config
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


def test_a_wrong_setting_is_answered_with_the_nearest(served: RunConfig) -> None:
    with pytest.raises(UsageProblem, match=r"did you mean 'prompts.max_rounds'"):
        run_config(served, {"settings": ["prompts.max_roundz=2"]})
