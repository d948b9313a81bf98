from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.ids import digest, image_sha256
from synthseg.image_codec import decode_rgb, encode_png
from synthseg.method.networks.segmenter import Segmenter
from tests.small_models import random_parts, small_config
from training.segmenter import CHECKPOINT, STATE, Share, TrainingSample, check_samples, train_segmenter, training_fingerprints


def run_config(iterations: int = 8) -> RunConfig:
    return small_config("cat", "dog", iterations=iterations, learning_rate=3e-3, warmup_iterations=1)


def sample(seed: int, with_mask: bool = True) -> TrainingSample:
    """A dark 32 px image with a bright red (cat) or green (dog) square, and where it is."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 40, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
    top, left, value = *rng.integers(0, 16, 2), seed % 2
    mask[top : top + 16, left : left + 16] = value + 1
    image[mask > 0, value] = 255
    return TrainingSample(encode_png(image), (1 - value, value), mask if with_mask else None)


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


SAMPLES = [sample(i) for i in range(12)]


def test_two_workers_learn_given_masks(trained: Path) -> None:
    config = run_config(30)
    assert not (trained / "ray").exists()
    segmenter = Segmenter.load(trained / CHECKPOINT, config, torch.device("cpu"), random_parts(config, torch.device("cpu")))
    images = [decode_rgb(s.encoded) for s in SAMPLES]
    right = [(p == s.mask).mean() for p, s in zip(segmenter.predict(images), SAMPLES, strict=True)]
    assert np.mean(right) > 0.6


def test_a_finished_training_does_not_start_again(trained: Path) -> None:
    before = (trained / CHECKPOINT).read_bytes()
    result = train_segmenter(run_config(30), SAMPLES, trained, 2, load_parts=random_parts)
    assert result.seconds == 0
    assert (trained / CHECKPOINT).read_bytes() == before
    assert result.curves[-1]["iteration"] == 30
    assert [line["iteration"] for line in result.curves] == [10, 20, 30]


def test_share_cuts_batches_that_depend_on_the_iteration_alone() -> None:
    config = run_config()
    parts = random_parts(config, torch.device("cpu"))
    share = Share(SAMPLES, parts, config)
    first, again = share.batch(3, 4, 0, torch.device("cpu")), Share(SAMPLES, parts, config).batch(3, 4, 0, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], share.batch(4, 4, 0, torch.device("cpu"))[0])
    images, target, allowed = first
    assert images.shape == (4, 3, 32, 32)
    assert target.shape == (4, 32, 32)
    assert allowed[:, 0].all()
    assert all(allowed[i][v] for i in range(4) for v in target[i].unique() if v not in (0, 255))


def test_given_masks_are_used_and_missing_ones_made() -> None:
    config = run_config()
    parts = random_parts(config, torch.device("cpu"))
    mixed = [SAMPLES[0], replace(SAMPLES[1], mask=None)]
    share = Share(mixed, parts, config)
    np.testing.assert_array_equal(share._pair(0)[1], SAMPLES[0].mask)
    made = parts.masker(config.segmenter).masks([share._pair(1)[0]], np.array([SAMPLES[1].label], np.int8))[0]
    np.testing.assert_array_equal(share._pair(1)[1], made)


def test_fingerprint_changes_with_settings_labels_and_masks() -> None:
    base, *_ = training_fingerprints(run_config(), SAMPLES, 2)
    assert base == training_fingerprints(run_config(), SAMPLES, 2)[0]
    relabelled = [replace(SAMPLES[0], label=(-1, 0)), *SAMPLES[1:]]
    unmasked = [replace(SAMPLES[0], mask=None), *SAMPLES[1:]]
    others = {
        training_fingerprints(run_config(9), SAMPLES, 2)[0],
        training_fingerprints(run_config(), relabelled, 2)[0],
        training_fingerprints(run_config(), unmasked, 2)[0],
        training_fingerprints(run_config(), SAMPLES, 1)[0],
    }
    assert len(others | {base}) == 5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_no_other_training_and_that_of_an_earlier_version_goes_on(precision: str) -> None:
    config = run_config()
    section = config.segmenter.model_copy(update={"precision": precision})
    found = training_fingerprints(config.model_copy(update={"segmenter": section}), SAMPLES, 2)
    assert found == training_fingerprints(config, SAMPLES, 2)
    content = [(image_sha256(s.encoded), s.label, image_sha256(s.mask.tobytes())) for s in SAMPLES if s.mask is not None]
    before = digest(section.model_dump(mode="json"), list(config.classes), config.seed, content, 2)
    assert before in found[1:]


@pytest.mark.parametrize(
    ("samples", "message"),
    [([], "no kept images"), ([replace(SAMPLES[0], label=(1,))], "1 values for 2"), ([replace(SAMPLES[0], label=(0, -1))], "no image has")],
)
def test_samples_that_cannot_be_trained_on_are_refused(samples: list[TrainingSample], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        check_samples(run_config(), samples)


def test_resume_equals_an_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import segmenter as module

    config = run_config(8)
    device = torch.device("cpu")
    parts = random_parts(config, device)
    share = Share(SAMPLES, parts, config)
    monkeypatch.setattr(module, "prepare_model", lambda model, **_: model)

    def steps(out: Path, until: int) -> module._Trainer:
        trainer = module._Trainer(config, parts, device, ["same"], out)
        while trainer.iteration < until:
            torch.manual_seed(trainer.iteration)
            trainer.step(*share.batch(trainer.iteration, 4, 0, device))
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
