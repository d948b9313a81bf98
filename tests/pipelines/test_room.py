"""A cluster that can never hold a stage is told in one line before anything is deployed; GPUs here are logical ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

from cluster.ray.start import cluster_room
from cluster.ray.streaming import run_stage
from pipelines.context import RunContext
from pipelines.session import check_room
from pipelines.stages import images, prompts
from synthseg.config import load_config
from synthseg.errors import UsageProblem
from synthseg.machine.sizing.placement import stage_wishes
from synthseg.progress import SilentProgress
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder

ROOM = {"CPU": 16.0, "GPU": 1.0}
TWO_GPUS = load_config("voc", ["execution.num_gpus_per_replica=1"])


def test_a_stage_that_cannot_fit_ends_before_its_engines_are_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.session.cluster_room", lambda: ROOM)
    monkeypatch.setattr(images, "accepted_prompts", lambda folder: [{}])
    context = RunContext(TWO_GPUS, RunFolder.create(str(tmp_path), TWO_GPUS), SilentProgress())
    for name, stage in (("prompts", prompts), ("images", images)):
        monkeypatch.setattr(stage, "deploy_engines", lambda *_, **__: pytest.fail("engines were deployed"))
        with pytest.raises(
            UsageProblem, match=rf"^execution\.workers = 1: stage {name} needs 2 GPU at once \(.*\) and there are 1; lower "
        ):
            stage.run(context)


def test_workers_get_the_share_of_their_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("pipelines.context.run_stage", lambda *_, num_gpus, **__: seen.append(num_gpus))
    config = load_config("voc")
    context = RunContext(config, RunFolder.create(str(tmp_path), config), SilentProgress())
    for stage in (Stage.prompts, Stage.images, Stage.relabel, Stage.evaluate):
        context.stream(stage, lambda: None, {}, [pa.table({"shard": ["a"]})])  # type: ignore[arg-type, return-value]
    assert seen == [0.2, 0.2, 1, 1]


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[None]:
    ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Where:
    """A stage worker, or what a replica holds, that tells which GPUs it was given."""

    def __call__(self, shard: pa.Table | None = None) -> dict[str, Any]:
        """The logical GPUs by number."""
        return {"gpus": [int(identity) for identity in ray.get_gpu_ids()]}


def test_a_replica_and_its_worker_share_one_gpu(one_gpu: None, tmp_path: Path) -> None:
    check_room(load_config("voc"), Stage.images)
    replica, worker = stage_wishes(load_config("voc"), Stage.images)
    held = ray.remote(Where).options(num_cpus=replica.each["CPU"], num_gpus=replica.each["GPU"]).remote()
    assert ray.get(held.__call__.remote()) == {"gpus": [0]}
    found = run_stage(
        Where,
        {},
        [pa.table({"shard": ["a"]})],
        num_workers=worker.count,
        num_gpus=worker.each["GPU"],
        stall_timeout_s=60,
        folder=RunFolder(str(tmp_path)),
        stacks=tmp_path,
    )
    assert list(found) == [{"gpus": [0]}]
    with pytest.raises(UsageProblem, match="stage images needs 2 GPU at once"):
        check_room(TWO_GPUS, Stage.images)


def test_what_an_autoscaler_may_add_counts(one_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.ray.compat.state.get_max_resources_from_cluster_config", lambda: {"GPU": 8, "CPU": 2})
    assert (cluster_room()["GPU"], cluster_room()["CPU"]) == (8, 4)
    check_room(TWO_GPUS, Stage.images)
