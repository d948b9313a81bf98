"""What a worker makes of a shard of the plan, with an engine that paints some of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.stages import images
from pipelines.stages.images import ImageWorker, ensure_plan, pending_shards
from synthseg.config import load_config
from synthseg.engines.image import GenerationFailure
from synthseg.engines.registry import build_image_engine
from synthseg.ids import image_sha256, prompt_id
from synthseg.records import Sample, from_table, present
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema
from tests.rows import candidates

CONFIG = load_config("embedded", ["images.images_per_prompt=4"], classes=["cat", "horse"])
TEXTS = ("a horse in a meadow", "an orange cat on a sofa")
FAILURE = GenerationFailure("painter: out of paint", retryable=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Sample], dict[str, Any]]:
    """The samples of one shard, whose sixth image could not be made, and the shard's stats."""
    engine = build_image_engine(CONFIG)

    def asked_directly(_: Any, requests: list[Any], *_more: Any) -> Any:
        painted = engine.generate(requests)
        yield 0, [*painted[:5], FAILURE]
        yield 6, painted[6:]

    digest = SimpleNamespace(remote=lambda: SimpleNamespace(result=lambda: engine.digest))
    folder = RunFolder.create(str(tmp_path_factory.mktemp("run")), CONFIG)
    known = {"round": 0, "parent_id": "", "engine": "e", "quality": 1.0, "class_similarity": 1.0, "neighbour_similarity": 0.0}
    accepted = [
        {"prompt_id": prompt_id([class_id], text), "class_ids": [class_id], "text": text, **known}
        for class_id, text in zip((13, 8), TEXTS, strict=True)
    ]
    ensure_plan(CONFIG, folder, candidates(accepted), engine.digest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "image_handle", lambda _: SimpleNamespace(digest=digest))
        patch.setattr(images, "stream_images", asked_directly)
        (shard,) = pending_shards(CONFIG, folder)
        told = ImageWorker(CONFIG, folder.out, Path(folder.out) / "stacks")(shard)
    (name,) = folder.shards.markers("images")
    return from_table(folder.shards.read("images", name, stage_schema("images"))), told["stats"]


def test_one_that_could_not_be_made_fails_alone(made: tuple[list[Sample], dict[str, Any]]) -> None:
    samples, stats = made
    failed = samples[5]
    assert (failed.image, failed.score, failed.labels) == (None, None, None)
    outcome = present(failed.outcome)
    assert (outcome.status, outcome.error, outcome.retryable) == ("failed", "painter: out of paint", True)
    assert sum(present(sample.outcome).status == "failed" for sample in samples) == 1
    assert stats["outcomes"]["failed"] == 1
    assert sum(stats["outcomes"].values()) == 8


def test_each_image_has_its_own_scores_although_one_before_it_is_missing(made: tuple[list[Sample], dict[str, Any]]) -> None:
    samples, _ = made
    engine = build_image_engine(CONFIG)
    order = [info.name for info in CONFIG.class_infos()]
    for sample in samples[:5] + samples[6:]:
        image, score = present(sample.image), present(sample.score)
        assert image_sha256(image.encoded) == image.sha256
        assert image.engine == engine.digest
        asked = order.index("horse" if sample.class_ids == (13,) else "cat")
        assert score.image_probs[asked] == max(score.image_probs)
        assert score.kept == (not score.reason) == (present(sample.outcome).status == "ok")
