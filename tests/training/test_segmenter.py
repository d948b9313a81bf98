from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.ids import image_sha256
from synthseg.image_codec import encode_png
from synthseg.method.masks.pseudo_masks import to_batch
from synthseg.method.networks.segmenter import Segmenter
from tests.small_models import random_parts, small_config
from training.data import HeldSamples
from training.loop import read_curves
from training.segmenter import CHECKPOINT, CURVES, STATE, batch, check_samples, train_segmenter, training_fingerprint


def run_config(iterations: int = 8) -> RunConfig:
    return small_config("cat", "dog", iterations=iterations, learning_rate=3e-3, warmup_iterations=1)


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark 32 px image with a bright red (cat, even seeds) or green (dog) square, and its mask."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 40, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
    top, left, value = *rng.integers(0, 16, 2), seed % 2
    mask[top : top + 16, left : left + 16] = value + 1
    image[mask > 0, value] = 255
    return image, mask


def held(seeds: Sequence[int]) -> HeldSamples:
    """Pictures with their masks."""
    images, masks = zip(*(map(encode_png, picture(seed)) for seed in seeds), strict=True)
    content = [[image_sha256(image), image_sha256(mask)] for image, mask in zip(images, masks, strict=True)]
    return HeldSamples(images, np.array([(1 - seed % 2, seed % 2) for seed in seeds], np.int8), content, masks)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)]), "OMP_NUM_THREADS": "1"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def trained(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two workers."""
    out = tmp_path_factory.mktemp("segmenter")
    train_segmenter(run_config(30), SAMPLES, out, 2, checkpoint_every=20, load_parts=random_parts)
    return out


SAMPLES = held(range(12))


def probabilities(checkpoint: Path) -> torch.Tensor:
    """Of all classes and pixels of the pictures, by a trained network."""
    config = run_config(30)
    segmenter = Segmenter.load(checkpoint, config, torch.device("cpu"), random_parts(config, torch.device("cpu")))
    images = to_batch([picture(seed)[0] for seed in range(12)], torch.device("cpu"))
    return segmenter.logits(images, (1.0,), False).softmax(dim=1)


def test_two_workers_learn_given_masks(trained: Path) -> None:
    config = run_config(30)
    assert not (trained / "ray").exists()
    segmenter = Segmenter.load(trained / CHECKPOINT, config, torch.device("cpu"), random_parts(config, torch.device("cpu")))
    pictures = [picture(seed) for seed in range(12)]
    right = [(p == mask).mean() for p, (_, mask) in zip(segmenter.predict([image for image, _ in pictures]), pictures, strict=True)]
    assert np.mean(right) > 0.6


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_number_of_workers_changes_nothing_but_rounding(num_workers: int, trained: Path, tmp_path: Path) -> None:
    others = train_segmenter(run_config(30), SAMPLES, tmp_path, num_workers, checkpoint_every=20, load_parts=random_parts)
    # Not weight by weight: the bias of attention's keys has no gradient but rounding, which Adam makes as large as any other.
    torch.testing.assert_close(probabilities(others.checkpoint), probabilities(trained / CHECKPOINT), rtol=0, atol=2e-3)
    for one, other in zip(read_curves(trained / CURVES), others.curves, strict=True):
        assert other["total"] == pytest.approx(one["total"], rel=1e-3)


def test_a_finished_training_does_not_start_again_for_another_number_of_workers(trained: Path) -> None:
    before = (trained / CHECKPOINT).read_bytes()
    result = train_segmenter(run_config(30), SAMPLES, trained, 1, load_parts=random_parts)
    assert result.seconds == 0
    assert (trained / CHECKPOINT).read_bytes() == before
    assert result.curves[-1]["iteration"] == 30
    assert [line["iteration"] for line in result.curves] == [10, 20, 30]


def test_a_batch_depends_on_its_iteration_alone() -> None:
    config = run_config()
    size = config.segmenter.batch_size
    whole = batch(config, SAMPLES, 1, 3, 0, 1)
    assert torch.equal(whole.images, batch(config, SAMPLES, 1, 3, 0, 1).images)
    assert not torch.equal(whole.images, batch(config, SAMPLES, 1, 4, 0, 1).images)
    assert whole.images.shape == (size, 3, 32, 32)
    assert whole.target.shape == (size, 32, 32)
    assert whole.keep.shape == (size, 1, config.segmenter.decoder_width)
    assert whole.allowed[:, 0].all()
    assert all(whole.allowed[i][v] for i in range(size) for v in whole.target[i].unique() if v not in (0, 255))


@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_of_all_workers_are_the_batch(world: int) -> None:
    config = run_config()
    whole = batch(config, SAMPLES, 2, 3, 0, 1)
    parts = [batch(config, SAMPLES, 2, 3, rank, world) for rank in range(world)]
    for name in ("images", "target", "allowed", "keep"):
        for rank, part in enumerate(parts):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rank::world])


def test_the_fingerprint_changes_with_settings_labels_and_masks_and_with_nothing_else() -> None:
    base = training_fingerprint(run_config(), SAMPLES)
    assert base == training_fingerprint(run_config(), SAMPLES)
    relabelled = replace(SAMPLES, labels=np.where(np.arange(12)[:, None] == 0, -1, SAMPLES.labels).astype(np.int8))
    masked = replace(SAMPLES, content=[[image, "other"] for image, _ in SAMPLES.content])
    others = {
        training_fingerprint(run_config(9), SAMPLES),
        training_fingerprint(run_config(), relabelled),
        training_fingerprint(run_config(), masked),
    }
    assert len(others | {base}) == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_no_other_training(precision: str) -> None:
    config = run_config()
    section = config.segmenter.model_copy(update={"precision": precision})
    assert training_fingerprint(config.model_copy(update={"segmenter": section}), SAMPLES) == training_fingerprint(config, SAMPLES)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros((0, 2)), "no kept images"), ([[1]], "1 values for 2"), ([[0, -1]], "no image has")],
)
def test_samples_that_cannot_be_trained_on_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        check_samples(run_config(), np.array(labels, np.int8))


def test_resume_equals_an_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import segmenter as module

    config = run_config(8)
    device = torch.device("cpu")
    parts = random_parts(config, device)
    monkeypatch.setattr(module, "prepare_model", lambda model, **_: model)

    def steps(out: Path, until: int) -> module._Trainer:
        trainer = module._Trainer(config, parts, device, "same", out)
        while trainer.iteration < until:
            trainer.step(batch(config, SAMPLES, 1, trainer.iteration, 0, 1))
        trainer.save()
        return trainer

    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    steps(tmp_path / "whole", 8).export()
    steps(tmp_path / "cut", 5)
    resumed = steps(tmp_path / "cut", 8)
    resumed.export()
    assert (tmp_path / "whole" / CHECKPOINT).read_bytes() == (tmp_path / "cut" / CHECKPOINT).read_bytes()
    assert (tmp_path / "cut" / STATE).exists()
