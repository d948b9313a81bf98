from __future__ import annotations

import pytest

from synthseg.config import load_config
from synthseg.config.loading import preset_names
from synthseg.config.schema import RunConfig
from synthseg.machine.sizing.placement import (
    Wish,
    deployment_gpus,
    needed,
    num_cpus,
    server_shortage,
    server_wishes,
    stage_shortage,
    stage_wishes,
    vllm_bundles,
    vllm_memory,
    whole_gpus,
    widest,
)
from synthseg.stages import Stage


def config(preset: str, *settings: str) -> RunConfig:
    return load_config(preset, [f"execution.{setting}" for setting in settings])


def gpus(preset: str, *settings: str) -> dict[str, list[float]]:
    """GPUs of each replica and worker, by stage."""
    found = config(preset, *settings)
    return {stage: [wish.each.get("GPU", 0.0) for wish in wishes] for stage in Stage if (wishes := stage_wishes(found, stage))}


@pytest.mark.parametrize("preset", ["voc", "coco"])
def test_every_stage_of_the_gpu_presets_fits_one_gpu(preset: str) -> None:
    alone = {stage: [1] for stage in ("classifier", "relabel", "masks", "segmenter", "evaluate")}
    assert gpus(preset) == {"prompts": [0.8, 0.2], "images": [0.8, 0.2], **alone}
    assert all(whole_gpus(stage_wishes(load_config(preset), stage)) <= 1 for stage in Stage)


@pytest.mark.parametrize("preset", ["embedded", "laptop"])
def test_presets_without_gpus_ask_for_none(preset: str) -> None:
    assert not any(share for shares in gpus(preset).values() for share in shares)


@pytest.mark.parametrize("preset", preset_names())
def test_a_ray_of_our_own_has_the_cpus_that_the_stages_count_on(preset: str) -> None:
    found = config(preset, "workers=6")
    assert all(needed(stage_wishes(found, stage)).get("CPU", 0.0) <= num_cpus(found) for stage in Stage)
    assert num_cpus(load_config("embedded")) == load_config("embedded").execution.workers


def test_engines_that_compute_elsewhere_or_on_the_cpu_take_no_gpu() -> None:
    endpoint = load_config("voc", ["prompts.engine=openai", "prompts.model=m", "prompts.base_url=http://127.0.0.1:9/v1"])
    assert [wish.each["GPU"] for wish in stage_wishes(endpoint, Stage.prompts)] == [0.0, 0.2]
    painted = load_config("voc", ["images.engine=painter", "images.model=", "images.parameters={}", "images.dtype=bf16"])
    assert [wish.each["GPU"] for wish in stage_wishes(painted, Stage.images)] == [0.0, 0.2]


def test_vllm_takes_its_share_of_a_gpu_and_of_its_memory() -> None:
    assert vllm_bundles(config("voc")) == ({"GPU": 0.8},)
    assert vllm_memory(config("voc")) == pytest.approx(0.8)
    whole = config("voc", "num_gpus_per_replica=1")
    assert (vllm_bundles(whole), vllm_memory(whole)) == (({"GPU": 1.0},), 0.9)
    assert vllm_bundles(config("voc", "vllm.tensor_parallel_size=2")) == ({"GPU": 0.8}, {"GPU": 0.8})
    halves = config("voc", "vllm.tensor_parallel_size=2", "num_gpus_per_replica=0.5")
    assert vllm_bundles(halves) == ({"GPU": 1.0}, {"GPU": 1.0})
    on_cpu = config("voc", "vllm.bundles=[{CPU = 1}]")
    assert (vllm_bundles(on_cpu), vllm_memory(on_cpu)) == (({"CPU": 1.0},), 0.9)
    assert vllm_memory(config("voc", "vllm.gpu_memory_utilization=0.3")) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [([], 0), ([0.8, 0.2], 1), ([1.0, 0.2], 2), ([0.6] * 3, 3), ([0.8, 0.8, 0.2, 0.2], 2), ([2.0, 0.5], 3)],
)
def test_a_share_is_of_one_gpu(shares: list[float], expected: int) -> None:
    assert whole_gpus([Wish("worker", 1, ({"GPU": share},)) for share in shares]) == expected


def test_what_can_never_fit_is_one_line_with_the_numbers_and_the_settings() -> None:
    room = {"CPU": 16.0, "GPU": 1.0}
    assert all(stage_shortage(load_config("voc"), stage, room) == "" for stage in Stage)
    said = stage_shortage(config("voc", "num_gpus_per_replica=1"), Stage.prompts, room)
    assert said == (
        "execution.workers = 1: stage prompts needs 2 GPU at once (1 text replica of 1 + 1 worker of 0.2) and there are 1; "
        "lower execution.workers, execution.num_gpus_per_replica or execution.num_gpus_per_worker, or use a larger cluster"
    )
    own = config("voc", "vllm.bundles=[{GPU = 1}]")
    assert "lower execution.vllm.bundles, " in stage_shortage(own, Stage.prompts, room)
    assert stage_shortage(own, Stage.images, room) == ""
    shared = config("voc", "num_gpus_per_replica=0.4", "num_gpus_per_worker=0.1", "workers=2")
    assert [bool(stage_shortage(shared, stage, room)) for stage in Stage] == [False, False, True, True, True, True, True, False]
    said = stage_shortage(shared, Stage.segmenter, room)
    assert said.endswith("2 GPU at once (2 workers of 1) and there are 1; lower execution.workers, or use a larger cluster")
    assert "needs 5 CPU at once (4 text replicas of 1 + 4 workers of 0.25)" in stage_shortage(
        config("voc", "workers=4"), Stage.prompts, {"CPU": 4.0, "GPU": 8.0}
    )


def test_the_widest_stage_is_named() -> None:
    assert widest(load_config("voc")) is Stage.prompts
    assert widest(config("voc", "vllm.bundles=[{CPU = 1}]", "workers=2")) is Stage.images


@pytest.mark.parametrize("preset", ["voc", "coco"])
def test_a_server_of_the_gpu_presets_counts_its_gpus(preset: str) -> None:
    found = load_config(preset)
    assert {name: deployment_gpus(found, name) for name in ("gateway", "prompt_agent", "text", "image")} == {
        "gateway": 0.0,
        "prompt_agent": 0.2,
        "text": 0.0,
        "image": 0.8,
    }
    assert whole_gpus(server_wishes(found)) == 2
    assert server_shortage(found, {"CPU": 16.0, "GPU": 2.0}) == ""
    assert "serving needs 2 GPU at once" in server_shortage(found, {"CPU": 16.0, "GPU": 1.0})
    assert whole_gpus(server_wishes(config(preset, "num_gpus_per_replica=0.4"))) == 1


def test_a_setting_of_the_server_goes_first_and_autoscaling_counts_at_its_most() -> None:
    found = load_config("voc", ["serving.image.num_gpus=0.5", "serving.image.max_replicas=3", "serving.prompt_agent.num_gpus=0.1"])
    assert deployment_gpus(found, "image") == pytest.approx(0.5)
    assert deployment_gpus(found, "prompt_agent") == pytest.approx(0.1)
    assert [wish.count for wish in server_wishes(found)] == [1, 1, 1, 1]
    assert [wish.count for wish in server_wishes(found, at_most=True)] == [1, 1, 1, 3]
    assert not any(wish.each["GPU"] for wish in server_wishes(load_config("embedded")))
